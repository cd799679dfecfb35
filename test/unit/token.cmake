postern_unit_test(token SOURCES unit/token_test.cc LINK postern_token)
