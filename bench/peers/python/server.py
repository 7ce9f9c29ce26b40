"""Socket.IO in Python as its documentation shows it: a token at the handshake, a room, an ack, a broadcast.

Nothing is stored. Usage: server.py PORT
"""
import datetime
import os
import sys

import jwt
import socketio
import uvicorn

sio = socketio.AsyncServer(async_mode="asgi", ping_interval=25, ping_timeout=60)
app = socketio.ASGIApp(sio)
version = 0


@sio.event
async def connect(sid, environ, auth):
    if not auth or "token" not in auth:
        raise socketio.exceptions.ConnectionRefusedError("Authentication token missing")
    try:
        user = jwt.decode(auth["token"], os.environ["JWT_SECRET"], algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise socketio.exceptions.ConnectionRefusedError("Invalid token")
    for room in (f"user:{user['userId']}", f"role:{user['role']}", "category:final", f"category:final:{user['role']}"):
        await sio.enter_room(sid, room)


@sio.on("scores:submit")
async def submit(sid, score):
    global version
    version += 1
    shown = {
        "id": "01995f2e-7c1a-7d33-9b5e-3f6f0a5c7e11",
        "categoryId": score["categoryId"],
        "contestId": "gala",
        "eventId": "cup",
        "contestantId": score["contestantId"],
        "judgeId": "01995f2e-7c1a-7d33-9b5e-0123456789ab",
        "criterionId": score["criterionId"],
        "score": None,
        "masked": True,
        "status": "submitted",
        "version": version,
        "updatedAt": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    await sio.emit("scores:updated", shown, room="category:final:JUDGE")
    return {"ok": True, "data": {"score": shown}}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
