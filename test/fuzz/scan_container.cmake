# SPDX-License-Identifier: Apache-2.0
foreach(target archive arj cms disk documents encoded iso macros mspack ole rar sis stream tnef zip)
  postern_fuzz_target(scan_${target} LINK postern_scan_worker)
endforeach()
