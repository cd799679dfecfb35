# SPDX-License-Identifier: Apache-2.0
# The benchmark's programs and the test that they work together; the benchmark itself is run by hand: test/bench/run --help.
add_executable(milterload bench/milterload.cc bench/client.cc bench/mailgen.cc bench/wire.cc)
target_link_libraries(milterload PRIVATE postern_flags)
add_executable(noop bench/noop.cc)
target_link_libraries(noop PRIVATE postern_flags libmilter)
add_test(NAME bench-generator
  COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/bench/generator_test.py $<TARGET_FILE:milterload> $<TARGET_FILE:noop>)
set_tests_properties(bench-generator PROPERTIES LABELS "ci;bench" TIMEOUT 300)
add_test(NAME bench-runner
  COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/bench/runner_test.py ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
set_tests_properties(bench-runner PROPERTIES LABELS "ci;bench" TIMEOUT 1000)
# Run by hand: Token::sign against bare PKCS#11 calls.
add_executable(tokenbench bench/tokenbench.cc)
target_link_libraries(tokenbench PRIVATE postern_client postern_token pkcs11_header PkgConfig::FMT)
# Run by hand, or with the long tests: look-ups in the tracking store by every key, with SQLite and PostgreSQL.
add_executable(trackfill bench/trackfill.cc)
target_link_libraries(trackfill PRIVATE postern_store PkgConfig::FMT)
add_test(NAME bench-findevent
  COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/bench/findevent ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} $<TARGET_FILE:trackfill>)
set_tests_properties(bench-findevent PROPERTIES LABELS "long;bench" TIMEOUT 1800 ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
# Run by hand: documents scanned by workers against the same text by the libraries alone.
add_executable(scanbench bench/scanbench.cc)
target_link_libraries(scanbench PRIVATE postern_scan_client PkgConfig::ARCHIVE PkgConfig::EXPAT PkgConfig::POPPLER)
add_dependencies(scanbench postern-scan)
