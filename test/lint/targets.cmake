# Lint: what a reviewer would otherwise have to look for.
add_test(NAME lint-includes COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/lint/includes" "${PROJECT_SOURCE_DIR}")
add_test(NAME lint-style COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/lint/style" "${PROJECT_SOURCE_DIR}")
set_tests_properties(lint-includes lint-style PROPERTIES LABELS "ci;lint" TIMEOUT 300)

add_executable(inventory lint/inventory.cc)
target_link_libraries(inventory PRIVATE postern_cli postern_fipsconfig postern_fipsd_core postern_keystore_settings)
add_test(NAME lint-documented
  COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/lint/documented" "$<TARGET_FILE:inventory>" "${PROJECT_SOURCE_DIR}")
set_tests_properties(lint-documented PROPERTIES LABELS "ci;lint" TIMEOUT 60)

# clang-tidy wants a clang build's commands: cmake --preset fuzz.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_test(NAME lint-tidy COMMAND "${PYTHON3}" "${CMAKE_CURRENT_SOURCE_DIR}/lint/tidy" "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
  set_tests_properties(lint-tidy PROPERTIES LABELS "long;lint" TIMEOUT 3600)
endif()
