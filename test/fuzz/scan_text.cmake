# SPDX-License-Identifier: Apache-2.0
foreach(target any type charset embedded headers html mail pdf rtf vcard xml)
  postern_fuzz_target(scan_${target} LINK postern_scan_worker)
endforeach()
