# SPDX-License-Identifier: Apache-2.0
# Directories: filters, cache; connections are tested against servers by directory_test.py.
postern_unit_test(directory SOURCES unit/directory_filter_test.cc unit/directory_cache_test.cc LINK postern_directory)
add_executable(directory-ask support/directory_ask.cc)
target_link_libraries(directory-ask PRIVATE postern_directory nlohmann_json::nlohmann_json Threads::Threads)
