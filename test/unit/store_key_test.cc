// SPDX-License-Identifier: Apache-2.0
// The keys of a store's contents: one is made and shared, asked for once, changed, lost; and nothing is ever stored
// plain, or sent, for want of one.
#include <gmock/gmock.h>
#include <sqlite3.h>

#include "engine/store/sealed.h"
#include "test/unit/store_fixture.h"

namespace postern::store {
namespace {

using base::Cause;
using testing::HasSubstr;

constexpr std::string_view kText = "Subject: x\r\n\r\nthe words that nobody may find\r\n";

class StoreKeys : public StoreTest {
 protected:
  std::string keep(uint64_t mid, std::string_view text = kText) {
    const auto kept = store_->keep(batch_of(mid, text, {"Policy"}), policies_, kNow);
    EXPECT_TRUE(kept) << (kept ? "" : kept.error().text());
    return store_->list({})->back().content;
  }

  // reopen opens the store as another process would.
  void reopen(const std::string& key) {
    store_ = nullptr;
    key_ = key;
    store_ = open();
  }

  // raw runs SQL on the database behind the store's back.
  std::string raw(const std::string& text) {
    if (postgres()) {
      return sql(std::getenv("POSTERN_TEST_POSTGRES"), "SET search_path = \"" + schema_ + "\"; " + text);
    }
    return sqlite(text);
  }

  // change flips one bit of a stored content, from its end.
  void change(const std::string& name, size_t from_end) {
    if (postgres()) {
      raw("UPDATE chunk SET data = set_byte(data, length(data) - " + std::to_string(from_end) +
          ", get_byte(data, length(data) - " + std::to_string(from_end) + ") # 1) WHERE content = '" + name + "'");
      return;
    }
    std::fstream file(file_of(name), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(-static_cast<std::streamoff>(from_end), std::ios::end);
    const int byte = file.get();
    file.seekp(-static_cast<std::streamoff>(from_end), std::ios::end);
    file.put(static_cast<char>(byte ^ 1));
  }
  std::string file_of(const std::string& name) { return directory_ + "/messages/" + name.substr(0, 2) + "/" + name; }

 private:
  std::string sqlite(const std::string& text) {
    sqlite3* database = nullptr;
    std::string out;
    EXPECT_EQ(sqlite3_open((directory_ + "/postern.db").c_str(), &database), SQLITE_OK);
    const auto first = [](void* to, int, char** values, char**) {
      auto& value = *static_cast<std::string*>(to);
      if (value.empty() && values[0] != nullptr) value = values[0];
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(database, text.c_str(), first, &out, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
    return out;
  }
};

TEST_P(StoreKeys, NothingOfAMessageIsInTheStore) {
  const std::string name = keep(1);
  keep(2, "another\r\n");
  EXPECT_EQ(*store_->content(name), kText);
  EXPECT_EQ(keys_->wraps, 1);
  EXPECT_EQ(keys_->unwraps, 1) << "once, not for each message";
  EXPECT_EQ(raw("SELECT count(*) FROM content WHERE digest <> '' OR data_key = ''"), "0");
  EXPECT_EQ(raw("SELECT count(*) FROM kept WHERE identity = '" + batch_of(1, kText, {}).identity + "'"), "0");
  EXPECT_EQ(store_->usage()->front().bytes, kText.size() + 9) << "what a quarantine may hold is counted as it came";
  if (!postgres()) {
    std::ifstream file(file_of(name), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    EXPECT_EQ(bytes.size(), sealed_size(kText.size()));
    EXPECT_EQ(bytes.find("nobody"), std::string::npos);
  } else {
    EXPECT_EQ(raw("SELECT count(*) FROM chunk WHERE position('nobody'::bytea in data) > 0"), "0");
  }
}

TEST_P(StoreKeys, GatewaysAndProcessesShareOne) {
  const std::string name = keep(1);
  const auto other = open("mx2");
  ASSERT_DONE(other->keep(batch_of(2, "by the other\r\n", {"Policy"}), policies_, kNow));
  EXPECT_EQ(*other->content(name), kText);
  EXPECT_EQ(*store_->content(store_->list({})->back().content), "by the other\r\n");
  EXPECT_EQ(keys_->wraps, 1);
  EXPECT_EQ(keys_->unwraps, 2) << "once for each";
  reopen("one");
  EXPECT_EQ(*store_->content(name), kText);
  EXPECT_EQ(keys_->wraps, 1);
}

TEST_P(StoreKeys, AChangedKeyIsForNewContents) {
  const std::string first = keep(1);
  reopen("two");
  const std::string second = keep(2, "later\r\n");
  EXPECT_EQ(raw("SELECT count(*) FROM store_key"), "2");
  EXPECT_EQ(*store_->content(first), kText);
  EXPECT_EQ(*store_->content(second), "later\r\n");
  keys_->keys.erase("one");
  reopen("two");
  EXPECT_EQ(*store_->content(second), "later\r\n");
  const auto lost = store_->content(first);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().cause(), Cause::misconfigured);
  EXPECT_THAT(lost.error().text(), HasSubstr("no such key"));
  EXPECT_EQ(store_->check_content(first).error().cause(), Cause::misconfigured);
  EXPECT_EQ(store_->list({})->size(), 2u) << "it is there still";
}

TEST_P(StoreKeys, OnAndOff) {
  reopen("");
  const std::string plain = keep(1);
  EXPECT_EQ(keys_->unwraps, 0);
  reopen("one");
  const std::string sealed = keep(2, "sealed\r\n");
  EXPECT_EQ(*store_->content(plain), kText);
  ASSERT_DONE(store_->check_content(plain));
  reopen("");
  const std::string again = keep(3, "plain again\r\n");
  EXPECT_EQ(*store_->content(sealed), "sealed\r\n");
  EXPECT_EQ(*store_->content(again), "plain again\r\n");
  EXPECT_EQ(raw("SELECT count(*) FROM content WHERE data_key = ''"), "2");
  ASSERT_DONE(store_->check_key());
}

TEST_P(StoreKeys, AMessageThatComesAgainIsKnownAcrossTheChange) {
  reopen("");
  keep(1);
  reopen("one");
  const auto again = store_->keep(batch_of(2, kText, {"Policy"}), policies_, kNow + 10);
  ASSERT_DONE(again);
  EXPECT_EQ(again->again, 1u);
  EXPECT_EQ(store_->list({})->size(), 1u);
  EXPECT_EQ(contents(), 1u);
}

TEST_P(StoreKeys, NobodyToAskDefersAndStoresNothing) {
  keys_->failure = base::Error(Cause::unavailable, "nobody answers");
  const auto kept = store_->keep(batch_of(1, kText, {"Policy"}), policies_, kNow);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().cause(), Cause::unavailable);
  EXPECT_FALSE(store_->queue({MailKind::alert, "", {"admin@example.org"}, {"x"}, 0, {}, {}}, 0, kNow));
  EXPECT_FALSE(store_->check_key());
  EXPECT_TRUE(store_->list({})->empty()) << "what needs no key goes on";
  EXPECT_EQ(contents(), 0u);
  keys_->failure.reset();
  const std::string name = keep(1);

  // Once it is in memory, nobody needs to be asked.
  keys_->failure = base::Error(Cause::unavailable, "nobody answers");
  ASSERT_DONE(store_->check_key());
  keep(2, "another\r\n");
  EXPECT_EQ(*store_->content(name), kText);
  reopen("one");
  EXPECT_EQ(store_->content(name).error().cause(), Cause::unavailable);
  EXPECT_EQ(store_->check_content(name).error().cause(), Cause::unavailable);
}

TEST_P(StoreKeys, AfterAFailureNobodyIsAskedForAWhile) {
  store_ = nullptr;
  auto opened = Store::open({where_, "mx1", true, 1, keys_, "one", std::chrono::hours(1)});
  ASSERT_DONE(opened);
  keys_->failure = base::Error(Cause::unavailable, "nobody answers");
  EXPECT_FALSE((*opened)->check_key());
  keys_->failure.reset();
  EXPECT_EQ((*opened)->check_key().error().text(), "nobody answers");
}

TEST_P(StoreKeys, AKeyThatIsGoneIsNotUsedAnyMore) {
  const std::string name = keep(1);
  const char key = keys_->keys.at("one");
  keys_->keys.erase("one");
  ASSERT_FALSE(store_->check_key());
  EXPECT_FALSE(store_->keep(batch_of(2, "could never be read\r\n", {"Policy"}), policies_, kNow));
  EXPECT_EQ(store_->content(name).error().cause(), Cause::misconfigured);
  EXPECT_EQ(contents(), 1u);
  keys_->keys["one"] = key;  // from a backup
  ASSERT_DONE(store_->check_key());
  EXPECT_EQ(*store_->content(name), kText);
  EXPECT_EQ(keys_->wraps, 1);
}

TEST_P(StoreKeys, AKeyMadeAnewUnderTheOldNameIsAnother) {
  const std::string first = keep(1);
  keys_->keys["one"] = '\x33';
  ASSERT_DONE(store_->check_key());
  const std::string second = keep(2, "second\r\n");
  EXPECT_EQ(*store_->content(second), "second\r\n");
  EXPECT_EQ(store_->content(first).error().cause(), Cause::misconfigured);
  EXPECT_EQ(keys_->wraps, 2);
}

TEST_P(StoreKeys, WhatCouldNotBeReadAgainIsNotWritten) {
  keys_->unwrap_failure = base::Error(Cause::denied, "no right to decrypt");
  const auto kept = store_->keep(batch_of(1, kText, {"Policy"}), policies_, kNow);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().cause(), Cause::denied);
  EXPECT_EQ(contents(), 0u);
  keys_->unwrap_failure.reset();
  EXPECT_EQ(*store_->content(keep(1)), kText);
  EXPECT_EQ(keys_->wraps, 1) << "the one that was made is taken";
}

TEST_P(StoreKeys, NobodyNamedWhoHasKeys) {
  store_ = nullptr;
  auto opened = Store::open({where_, "mx1", true, 1, nullptr, "one", std::chrono::hours(0)});
  ASSERT_DONE(opened);
  EXPECT_EQ((*opened)->check_key().error().cause(), Cause::misconfigured);
}

TEST_P(StoreKeys, ChangedBytesAreAnError) {
  const std::string text = std::string(kText) + std::string(3 * kSealedChunk, 'x');
  const std::string name = keep(1, text);
  EXPECT_EQ(store_->content(name)->size(), text.size());
  for (const size_t from_end : {size_t{1}, size_t{20}, kSealedChunk + 100}) {
    change(name, from_end);
    const auto bytes = store_->content(name);
    ASSERT_FALSE(bytes) << from_end;
    EXPECT_EQ(bytes.error().cause(), Cause::internal);
    EXPECT_THAT(bytes.error().text(), HasSubstr("is not what was stored"));
    EXPECT_EQ(store_->check_content(name).error().cause(), Cause::internal);
    change(name, from_end);
    ASSERT_DONE(store_->check_content(name));
  }
}

TEST_P(StoreKeys, ContentsDoNotChangePlaces) {
  const std::string first = keep(1, "pay Ann\r\n");
  const std::string second = keep(2, "pay Bob\r\n");
  if (postgres()) {
    raw("UPDATE chunk SET data = (SELECT data FROM chunk WHERE content = '" + first + "') WHERE content = '" + second +
        "'");
  } else {
    std::filesystem::copy_file(file_of(first), file_of(second), std::filesystem::copy_options::overwrite_existing);
  }
  EXPECT_EQ(store_->content(second).error().cause(), Cause::internal);
  EXPECT_EQ(*store_->content(first), "pay Ann\r\n");
}

TEST_P(StoreKeys, ADataKeyThatIsNotThere) {
  const std::string name = keep(1);
  raw("UPDATE content SET data_key = '" + std::string(32, '0') + "'");
  const auto bytes = store_->content(name);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().cause(), Cause::internal);
  EXPECT_THAT(bytes.error().text(), HasSubstr("does not know the data key"));
  raw("UPDATE content SET data_key = ''");
  EXPECT_FALSE(store_->content(name)) << "what is encrypted is not given out as it is";
}

TEST_P(StoreKeys, ADataKeyThatIsDamaged) {
  keep(1);
  for (const char* wrapped : {"", "00ff", "no number"}) {
    raw(std::string("UPDATE store_key SET wrapped = '") + wrapped + "'");
    reopen("one");
    EXPECT_FALSE(store_->check_key()) << wrapped;
    EXPECT_FALSE(store_->keep(batch_of(2, "x\r\n", {"Policy"}), policies_, kNow)) << wrapped;
  }
  EXPECT_EQ(contents(), 1u);
}

TEST_P(StoreKeys, AStoreOfTheVersionBefore) {
  reopen("");
  const std::string plain = keep(1);
  store_ = nullptr;
  raw("ALTER TABLE content DROP COLUMN data_key");
  raw("DROP TABLE store_key");
  raw("UPDATE meta SET value = 1 WHERE name = 'version'");
  const auto command = Store::open({where_, "mx1", false, 1});
  ASSERT_FALSE(command) << "only the daemon changes tables";
  EXPECT_THAT(command.error().text(), HasSubstr("version 1"));
  reopen("one");
  EXPECT_EQ(*store_->content(plain), kText);
  EXPECT_EQ(*store_->content(keep(2, "sealed\r\n")), "sealed\r\n");
}

INSTANTIATE_TEST_SUITE_P(Every, StoreKeys, testing::Values("sqlite_sealed", "postgresql_sealed"),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace postern::store
