// SPDX-License-Identifier: Apache-2.0
// Keeping: what a decided message leaves in the store, put together for one call. It only reads; `postern trace` never
// makes one. Views point into the transaction, which must outlive it.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "engine/store/batch.h"
#include "milter/pipeline.h"

namespace postern::milter {

struct Keeping {
  store::Batch batch;
  std::deque<std::string> texts;                    // what the batch's views point into, besides the transaction
  mime::Pieces body;                                // likewise
  std::vector<const rules::GeneratedMail*> causes;  // of batch.mails, in the same order
  bool takes_message = false;                       // the message itself is kept: the MTA is told to discard it

  bool empty() const { return batch.entries.empty() && batch.mails.empty(); }
};

// gather puts together what `finished` leaves to be kept: nothing where the message is deferred or there is no store.
Keeping gather(Transaction& transaction, const Finished& finished);

}  // namespace postern::milter
