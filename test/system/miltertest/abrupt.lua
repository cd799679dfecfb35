-- SPDX-License-Identifier: Apache-2.0
-- (miltertest raises an error for a step that was negotiated away: such steps go through pcall.)
-- The MTA goes away without a word at each step; others are served on.
for step = 1, 7 do
  conn = mt.connect(socket)
  if conn == nil then error "no connection" end
  if step > 1 then mt.conninfo(conn, "client.test", "192.0.2.7") end
  if step > 2 then pcall(mt.helo, conn, "client.test") end
  if step > 3 then mt.mailfrom(conn, "<a@x.test>") end
  if step > 4 then mt.rcptto(conn, "<b@y.test>") end
  if step > 5 then mt.header(conn, "Subject", "good") end
  if step > 6 then mt.bodystring(conn, "x\r\n") end
  mt.disconnect(conn, false)
end
conn = mt.connect(socket)
if conn == nil then error "no connection after the abrupt ends" end
mt.conninfo(conn, "client.test", "192.0.2.7")
mt.disconnect(conn)
