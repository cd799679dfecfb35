# SPDX-License-Identifier: Apache-2.0
foreach(target pdf html vcard xml headers)
  postern_fuzz_target(scan_${target} LINK postern_scan_worker)
endforeach()
