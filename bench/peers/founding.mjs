// The server of the founding document, as written there: Express, Socket.IO, JWT, rooms from assignments, one database
// transaction a request through Prisma. SQLite in WAL mode with synchronous=FULL: an ack means the mark is on the disk.
// Usage: founding.mjs PORT DATABASE
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import express from 'express'
import jwt from 'jsonwebtoken'
import { Server } from 'socket.io'
import { view } from './view.mjs'

const { PrismaClient } = createRequire(import.meta.url)('@prisma/client')
const [, , port, file] = process.argv

// better-sqlite3 is the faster of the two, but has to be compiled where it is not to be had ready-made.
async function open() {
  try {
    const { PrismaBetterSqlite3 } = await import('@prisma/adapter-better-sqlite3')
    const prisma = new PrismaClient({ adapter: new PrismaBetterSqlite3({ url: `file:${file}` }) })
    await prisma.$queryRawUnsafe('SELECT 1')
    console.log('driver: better-sqlite3')
    return prisma
  } catch {
    const { PrismaLibSql } = await import('@prisma/adapter-libsql')
    console.log('driver: libsql')
    return new PrismaClient({ adapter: new PrismaLibSql({ url: `file:${file}` }) })
  }
}

const prisma = await open()
for (const statement of [
  'PRAGMA journal_mode = WAL',
  'PRAGMA synchronous = FULL',
  'CREATE TABLE IF NOT EXISTS "Assignment" (id TEXT PRIMARY KEY, judgeId TEXT NOT NULL, categoryId TEXT NOT NULL, status TEXT NOT NULL)',
  'CREATE INDEX IF NOT EXISTS assignment_judge ON "Assignment" (judgeId, status)',
  `CREATE TABLE IF NOT EXISTS "Score" (id TEXT PRIMARY KEY, categoryId TEXT NOT NULL, contestantId TEXT NOT NULL, judgeId TEXT NOT NULL,
     criterionId TEXT NOT NULL, score REAL NOT NULL, version INTEGER NOT NULL DEFAULT 1, updatedAt DATETIME NOT NULL)`,
  'CREATE UNIQUE INDEX IF NOT EXISTS score_place ON "Score" (categoryId, contestantId, judgeId, criterionId)',
  `CREATE TABLE IF NOT EXISTS "ScoreLog" (id INTEGER PRIMARY KEY AUTOINCREMENT, scoreId TEXT NOT NULL, judgeId TEXT NOT NULL,
     score REAL NOT NULL, createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)`,
]) {
  await prisma.$queryRawUnsafe(statement)
}
// Everybody of the final, and judges with a category of their own.
for (let number = 0; number < 200; number++) {
  const categoryId = number < 100 ? 'final' : `desk${number - 100}`
  await prisma.assignment.create({ data: { id: `a${number}`, judgeId: `u${number}`, categoryId, status: 'ACTIVE' } })
}

const app = express()
app.get('/socket-health', (_, answer) => answer.json({ status: 'ok', connectedClients: io.engine.clientsCount }))
const server = createServer(app)
const io = new Server(server, {
  cors: { origin: 'http://localhost:3000', credentials: true },
  transports: ['websocket', 'polling'],
  pingTimeout: 60000,
  pingInterval: 25000,
})

io.use((socket, next) => {
  const { token } = socket.handshake.auth
  if (!token) return next(new Error('Authentication token missing'))
  try {
    socket.data.user = jwt.verify(token, process.env.JWT_SECRET)
    next()
  } catch {
    next(new Error('Invalid token'))
  }
})

async function joinAssignedRooms(socket, user) {
  const assignments = await prisma.assignment.findMany({ where: { judgeId: user.userId, status: 'ACTIVE' } })
  for (const assignment of assignments) {
    socket.join(`category:${assignment.categoryId}`)
    socket.join(`category:${assignment.categoryId}:${user.role}`)
  }
}

function broadcastScoreUpdate(score) {
  const shown = view(score, score.version)
  io.to('role:ADMIN').emit('scores:updated', score)
  io.to('role:ORGANIZER').emit('scores:updated', score)
  io.to(`category:${score.categoryId}:TALLY_MASTER`).emit('scores:updated', score)
  io.to(`category:${score.categoryId}:JUDGE`).emit('scores:updated', shown)
}

io.on('connection', (socket) => {
  const user = socket.data.user
  socket.join(`user:${user.userId}`)
  socket.join(`role:${user.role}`)
  joinAssignedRooms(socket, user)

  socket.on('scores:submit', async ({ categoryId, contestantId, criterionId, score }, ack) => {
    try {
      const mark = await prisma.$transaction(async (tx) => {
        const assignment = await tx.assignment.findFirst({ where: { judgeId: user.userId, categoryId, status: 'ACTIVE' } })
        if (!assignment) throw new Error('Access denied')
        const place = { categoryId, contestantId, judgeId: user.userId, criterionId }
        const mark = await tx.score.upsert({
          where: { categoryId_contestantId_judgeId_criterionId: place },
          create: { ...place, score },
          update: { score, version: { increment: 1 } },
        })
        await tx.scoreLog.create({ data: { scoreId: mark.id, judgeId: user.userId, score } })
        return mark
      }, { maxWait: 30000, timeout: 30000 })
      ack({ ok: true, data: { score: mark } })
      broadcastScoreUpdate(mark)
    } catch (error) {
      ack({ ok: false, error: { message: error.message } })
    }
  })
})

server.listen(Number(port), '127.0.0.1')
