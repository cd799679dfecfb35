-- SPDX-License-Identifier: Apache-2.0
-- (miltertest raises an error for a step that was negotiated away: such steps go through pcall.)
-- A client of no known address family, an unknown command in the middle, a recipient that is refused.
conn = mt.connect(socket)
if conn == nil then error "no connection" end
if mt.conninfo(conn, "local", "unspec") ~= nil then error "connect without address" end
pcall(mt.helo, conn, "local")
pcall(mt.unknown, conn, "XYZZY")
mt.mailfrom(conn, "<>")
if mt.getreply(conn) ~= SMFIR_CONTINUE then error "null sender" end
pcall(mt.unknown, conn, "XYZZY")
mt.rcptto(conn, "<nobody@y.test>")
local refused = mt.getreply(conn)
mt.rcptto(conn, "<b@y.test>")
if mt.getreply(conn) ~= SMFIR_CONTINUE then error "good recipient" end
pcall(mt.data, conn)
mt.header(conn, "Subject", "good")
pcall(mt.eoh, conn)
mt.bodystring(conn, "x\r\n")
mt.eom(conn)
local reply = mt.getreply(conn)
-- Without a client there is nobody to refuse one recipient to: either RCPT said no, or the message as a whole is not accepted.
if refused == SMFIR_CONTINUE and (reply == SMFIR_ACCEPT or reply == SMFIR_CONTINUE) then error "accepted for a refused recipient" end
mt.disconnect(conn)
