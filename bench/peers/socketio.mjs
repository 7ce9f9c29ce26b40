// Socket.IO as its documentation shows it: a token at the handshake, a room for the category, an ack, a broadcast.
// Nothing is stored. Runs on Node and on Bun. Usage: socketio.mjs PORT
import { createServer } from 'node:http'
import jwt from 'jsonwebtoken'
import { Server } from 'socket.io'
import { view } from './view.mjs'

const server = createServer((_, answer) => answer.end('ok'))
const io = new Server(server, { transports: ['websocket', 'polling'], pingTimeout: 60000, pingInterval: 25000 })
let version = 0

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

io.on('connection', (socket) => {
  const { userId, role } = socket.data.user
  socket.join([`user:${userId}`, `role:${role}`, 'category:final', `category:final:${role}`])
  socket.on('scores:submit', (score, ack) => {
    const shown = view(score, ++version)
    ack({ ok: true, data: { score: { ...shown, score: score.score, masked: false } } })
    io.to('category:final:JUDGE').emit('scores:updated', shown)
  })
})

server.listen(Number(process.argv[2]), '127.0.0.1')
