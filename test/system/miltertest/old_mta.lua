-- SPDX-License-Identifier: Apache-2.0
-- (miltertest raises an error for a step that was negotiated away: such steps go through pcall.)
-- An MTA of protocol version 2 that offers few steps and few actions: a message that needs an edit it does not offer is deferred, never
-- accepted unedited.
conn = mt.connect(socket)
if conn == nil then error "no connection" end
if mt.negotiate(conn, 2, 0, 0) == nil then
  mt.conninfo(conn, "client.test", "192.0.2.7")
  if mt.getreply(conn) == SMFIR_CONTINUE then
    mt.mailfrom(conn, "<a@x.test>")
    if mt.getreply(conn) == SMFIR_CONTINUE then
      mt.rcptto(conn, "<b@y.test>")
      if mt.getreply(conn) == SMFIR_CONTINUE then
        mt.header(conn, "Subject", "good")
        pcall(mt.eoh, conn)
        mt.bodystring(conn, "x\r\n")
        mt.eom(conn)
        local reply = mt.getreply(conn)
        if reply == SMFIR_ACCEPT or reply == SMFIR_CONTINUE then error "accepted without the edit" end
      end
    end
  end
end
mt.disconnect(conn, false)
