// SPDX-License-Identifier: Apache-2.0
// A refused recipient ends the transaction of all (see smtp.cc), so the others are not punished for him only here.
#include "engine/submit/own_mail.h"

#include <algorithm>
#include <ctime>

namespace postern::submit {

std::vector<SmtpResult> submit_own(SmtpClient& client, const MarkKey& key, const OwnMail& mail,
                                   const std::atomic<bool>& stop, bool& reached,
                                   const std::function<void(size_t recipient)>& taken) {
  const auto send = [&](const std::vector<std::string>& recipients, bool& there) {
    Mark mark = mail.mark;
    mark.time = static_cast<int64_t>(std::time(nullptr));
    const std::string head = std::string(kMarkHeader) + ": " + key.make(mark, mail.from, recipients) + "\r\n";
    return client.send({mail.from, recipients, head, mail.content}, stop, there);
  };
  std::vector<SmtpResult> results = send(mail.recipients, reached);
  if (results.size() < 2 || !results.front().at_recipient) return results;
  for (size_t i = 0; i < results.size(); ++i) {
    bool there = false;
    results[i] = send({mail.recipients[i]}, there).front();
    if (!there) {
      std::fill(results.begin() + static_cast<std::ptrdiff_t>(i), results.end(), SmtpResult(results[i]));
      break;
    }
    if (results[i].what == SmtpResult::What::taken && taken) taken(i);
  }
  return results;
}

}  // namespace postern::submit
