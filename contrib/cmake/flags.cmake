# SPDX-License-Identifier: Apache-2.0
# postern_flags: warnings, hardening and sanitizers, for everything that is built; a target with the property POSTERN_UNOPTIMIZED does
# without what needs the optimizer. postern_library() makes one folder's library.
add_library(postern_flags INTERFACE)
target_compile_options(postern_flags INTERFACE -Wall -Wextra -Werror $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations> -Wnon-virtual-dtor -fno-strict-aliasing)
target_include_directories(postern_flags INTERFACE "${PROJECT_SOURCE_DIR}")

if(POSTERN_SANITIZE)
  target_compile_options(postern_flags INTERFACE -fsanitize=${POSTERN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(postern_flags INTERFACE -fsanitize=${POSTERN_SANITIZE})
else()
  target_compile_options(postern_flags INTERFACE -fstack-protector-strong -fstack-clash-protection -fcf-protection
    $<$<NOT:$<OR:$<CONFIG:Debug>,$<BOOL:$<TARGET_PROPERTY:POSTERN_UNOPTIMIZED>>>>:-D_FORTIFY_SOURCE=3>)
  target_link_options(postern_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
include(CheckPIESupported)
check_pie_supported()
if(POSTERN_FUZZ)
  target_compile_options(postern_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(POSTERN_COVERAGE)
  target_compile_options(postern_flags INTERFACE --coverage)
  target_link_options(postern_flags INTERFACE --coverage)
endif()

# postern_library(NAME SOURCES a.cc b.cc [LINK public…] [PRIVATE_LINK private…]): library postern_NAME of the current folder.
function(postern_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(postern_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(postern_${name} PUBLIC postern_flags ${ARG_LINK} PRIVATE ${ARG_PRIVATE_LINK})
endfunction()
