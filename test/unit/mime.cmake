# SPDX-License-Identifier: Apache-2.0
postern_unit_test(mime
  SOURCES unit/mime_header_test.cc unit/mime_decode_test.cc unit/mime_content_type_test.cc unit/mime_encoded_word_test.cc
    unit/mime_parser_test.cc unit/mime_property_test.cc unit/mime_writer_test.cc unit/mime_limits_test.cc
    unit/mime_readings_test.cc
  LINK postern_mime PkgConfig::GMIME)
add_executable(mime-dump support/mime_dump.cc)
target_link_libraries(mime-dump PRIVATE postern_mime nlohmann_json::nlohmann_json)
add_executable(readings-dump support/readings_dump.cc)
target_link_libraries(readings-dump PRIVATE postern_mime nlohmann_json::nlohmann_json)
add_test(NAME unit-mime-crosscheck COMMAND ${PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/unit/mime_crosscheck.py" $<TARGET_FILE:mime-dump>)
set_tests_properties(unit-mime-crosscheck PROPERTIES LABELS "ci;unit" TIMEOUT 300)
add_test(NAME unit-readings-crosscheck COMMAND ${PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/unit/readings_crosscheck.py" $<TARGET_FILE:readings-dump> 40)
set_tests_properties(unit-readings-crosscheck PROPERTIES LABELS "ci;unit" TIMEOUT 600)
add_test(NAME unit-readings-crosscheck-long
  COMMAND ${PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/unit/readings_crosscheck.py" $<TARGET_FILE:readings-dump> 3000 7)
set_tests_properties(unit-readings-crosscheck-long PROPERTIES LABELS "long;unit" TIMEOUT 1800)
if(POSTERN_CORPUS)
  postern_unit_test(mime-corpus SOURCES unit/mime_corpus_test.cc LINK postern_mime nlohmann_json::nlohmann_json)
  add_test(NAME unit-mime-crosscheck-corpus
    COMMAND ${PYTHON3} "${CMAKE_CURRENT_SOURCE_DIR}/unit/mime_crosscheck.py" $<TARGET_FILE:mime-dump> "${POSTERN_CORPUS}")
  set_tests_properties(unit-mime-crosscheck-corpus PROPERTIES LABELS "ci;unit" TIMEOUT 300)
endif()
