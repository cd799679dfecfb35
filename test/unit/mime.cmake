# SPDX-License-Identifier: Apache-2.0
postern_unit_test(mime
  SOURCES unit/mime_header_test.cc unit/mime_decode_test.cc unit/mime_content_type_test.cc unit/mime_encoded_word_test.cc
    unit/mime_parser_test.cc unit/mime_property_test.cc unit/mime_writer_test.cc unit/mime_limits_test.cc
  LINK postern_mime PkgConfig::GMIME)
