# SPDX-License-Identifier: Apache-2.0
foreach(target html dictionary_file)
  postern_fuzz_target(${target} LINK postern_rules)
endforeach()
