# SPDX-License-Identifier: Apache-2.0
# fipsd's protocol: frames and bodies, client, server.
postern_unit_test(protocol SOURCES unit/protocol_frame_test.cc unit/protocol_body_test.cc LINK postern_protocol postern_x509)
postern_unit_test(protocol-server
  SOURCES unit/protocol_server_test.cc unit/protocol_listener_test.cc
  LINK postern_fipsd_server)
postern_unit_test(protocol-client
  SOURCES unit/protocol_client_test.cc unit/protocol_pair_test.cc
  LINK postern_client postern_fipsd_server)
