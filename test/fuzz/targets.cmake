
postern_fuzz_target(address LINK postern_message)
postern_fuzz_target(changes LINK postern_fake_mta)
