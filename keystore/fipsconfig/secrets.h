// SPDX-License-Identifier: Apache-2.0
// Secrets: passwords from the terminal without echo, or from descriptors, one a line; never from the command line or
// the environment. What is read goes straight into locked memory. While a prompt waits, signals that end or stop the
// process first give the terminal its echo back. One thread.
#pragma once
#include <string>
#include <string_view>

#include "keystore/fipsconfig/answer.h"
#include "keystore/fipsconfig/commands.h"
#include "keystore/token/secret.h"

namespace postern::keystore::fipsconfig {

class Secrets {
 public:
  explicit Secrets(const Common& common) : common_(common) {}

  // asks tells whether a person is asked, so that a second try or a question makes sense.
  bool asks() const { return common_.password_fd < 0; }

  // next gives the next secret: asked for with `prompt`, or the next line of --password-fd.
  Answer<Secret> next(std::string_view prompt);
  // fresh gives a new secret; a person types it twice.
  Answer<Secret> fresh(std::string_view prompt);
  // for_backup and fresh_for_backup do the same for a backup's password: --backup-password-fd, where given, or like
  // the others.
  Answer<Secret> for_backup(std::string_view prompt);
  Answer<Secret> fresh_for_backup(std::string_view prompt);

  // confirmed asks a person to type "yes". False for any other answer; where nobody can be asked, it stops with
  // `otherwise`.
  static Answer<bool> confirmed(std::string_view question, std::string otherwise);

 private:
  Answer<Secret> twice(std::string_view prompt);
  const Common& common_;
};

}  // namespace postern::keystore::fipsconfig
