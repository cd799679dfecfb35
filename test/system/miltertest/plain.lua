-- SPDX-License-Identifier: Apache-2.0
-- (miltertest raises an error for a step that was negotiated away: such steps go through pcall.)
-- An ordinary message: the header is added at its end, nothing else is asked for.
conn = mt.connect(socket)
if conn == nil then error "no connection" end
if mt.conninfo(conn, "client.test", "192.0.2.7") ~= nil then error "connect" end
pcall(mt.helo, conn, "client.test")
if mt.mailfrom(conn, "<a@x.test>") ~= nil then error "mail" end
if mt.getreply(conn) ~= SMFIR_CONTINUE then error "mail is not continued" end
if mt.rcptto(conn, "<b@y.test>") ~= nil then error "rcpt" end
if mt.getreply(conn) ~= SMFIR_CONTINUE then error "rcpt is not continued" end
pcall(mt.data, conn)
if mt.header(conn, "From", "a@x.test") ~= nil then error "header" end
if mt.header(conn, "Subject", "good") ~= nil then error "header" end
pcall(mt.eoh, conn)
if mt.bodystring(conn, "Hello\r\n") ~= nil then error "body" end
if mt.eom(conn) ~= nil then error "end of message" end
local reply = mt.getreply(conn)
if reply ~= SMFIR_ACCEPT and reply ~= SMFIR_CONTINUE then error "not accepted" end
if not mt.eom_check(conn, MT_HDRADD, "X-Hit") and not mt.eom_check(conn, MT_HDRINSERT, "X-Hit") then error "no X-Hit" end
if mt.eom_check(conn, MT_BODYCHANGE) then error "the body was changed" end
mt.disconnect(conn)
