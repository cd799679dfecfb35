-- SPDX-License-Identifier: Apache-2.0
-- (miltertest raises an error for a step that was negotiated away: such steps go through pcall.)
-- Two messages on one connection, the first refused: nothing of it is left in the second.
conn = mt.connect(socket)
if conn == nil then error "no connection" end
mt.conninfo(conn, "client.test", "192.0.2.7")
pcall(mt.helo, conn, "client.test")
mt.mailfrom(conn, "<a@x.test>")
mt.rcptto(conn, "<b@y.test>")
pcall(mt.data, conn)
mt.header(conn, "Subject", "bad")
pcall(mt.eoh, conn)
mt.bodystring(conn, "x\r\n")
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_REPLYCODE then error "bad subject was not refused" end
if not mt.eom_check(conn, MT_SMTPREPLY, "550", "5.7.1", "bad subject") then error "another reply" end
mt.mailfrom(conn, "<a@x.test>")
if mt.getreply(conn) ~= SMFIR_CONTINUE then error "second mail" end
mt.rcptto(conn, "<b@y.test>")
pcall(mt.data, conn)
mt.header(conn, "Subject", "good")
pcall(mt.eoh, conn)
mt.bodystring(conn, "x\r\n")
mt.eom(conn)
local reply = mt.getreply(conn)
if reply ~= SMFIR_ACCEPT and reply ~= SMFIR_CONTINUE then error "second message not accepted" end
mt.disconnect(conn)
