# Tests of the command `postern` by its contract, and over the sample mails where they are there.
add_test(NAME cli COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/cli_test.py")
set_tests_properties(cli PROPERTIES LABELS "ci;system" TIMEOUT 300 ENVIRONMENT "POSTERN=$<TARGET_FILE:postern>")
add_test(NAME install COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/install_test.py" "${PROJECT_BINARY_DIR}")
set_tests_properties(install PROPERTIES LABELS "ci;system" TIMEOUT 120)
if(POSTERN_CORPUS)
  set(corpus_trace "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/system/corpus_trace.py" "$<TARGET_FILE:postern>" "${POSTERN_CORPUS}"
    "${PROJECT_SOURCE_DIR}/test/system/corpus/postern.yaml")
  add_test(NAME corpus-trace COMMAND ${corpus_trace} 15)
  set_tests_properties(corpus-trace PROPERTIES LABELS "ci;system" TIMEOUT 900)
  add_test(NAME corpus-trace-whole COMMAND ${corpus_trace})
  set_tests_properties(corpus-trace-whole PROPERTIES LABELS "long;system" TIMEOUT 3600)
endif()
