postern_unit_test(match SOURCES unit/match_regex_test.cc LINK postern_match PkgConfig::PCRE2)
