// SPDX-License-Identifier: Apache-2.0
// Mta: the milter protocol as the session sees it, without libmilter. The bits are those of the protocol (mfapi.cc
// checks them against libmilter's header); the class is what a callback may ask of the MTA. Tests put a fake behind it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::milter {

// Edits a filter may make (SMFIF_*).
inline constexpr uint32_t kActionAddHeader = 0x01;
inline constexpr uint32_t kActionChangeBody = 0x02;
inline constexpr uint32_t kActionAddRecipient = 0x04;
inline constexpr uint32_t kActionDeleteRecipient = 0x08;
inline constexpr uint32_t kActionChangeHeader = 0x10;
inline constexpr uint32_t kActionQuarantine = 0x20;
inline constexpr uint32_t kActionChangeFrom = 0x40;
inline constexpr uint32_t kActionSetMacros = 0x100;

// Steps that can be left out (SMFIP_NO*).
inline constexpr uint32_t kNoConnect = 0x01;
inline constexpr uint32_t kNoHelo = 0x02;
inline constexpr uint32_t kNoMail = 0x04;
inline constexpr uint32_t kNoRecipient = 0x08;
inline constexpr uint32_t kNoBody = 0x10;
inline constexpr uint32_t kNoHeader = 0x20;
inline constexpr uint32_t kNoEndOfHeader = 0x40;
inline constexpr uint32_t kNoUnknown = 0x100;
inline constexpr uint32_t kNoData = 0x200;
inline constexpr uint32_t kStepsOff =
    kNoConnect | kNoHelo | kNoMail | kNoRecipient | kNoBody | kNoHeader | kNoEndOfHeader | kNoUnknown | kNoData;

// Steps that can go unanswered (SMFIP_NR_*).
inline constexpr uint32_t kNoReplyHeader = 0x80;
inline constexpr uint32_t kNoReplyConnect = 0x1000;
inline constexpr uint32_t kNoReplyHelo = 0x2000;
inline constexpr uint32_t kNoReplyData = 0x10000;
inline constexpr uint32_t kNoReplyUnknown = 0x20000;
inline constexpr uint32_t kNoReplyEndOfHeader = 0x40000;
inline constexpr uint32_t kNoReplyBody = 0x80000;

// Header values with their leading space (SMFIP_HDR_LEADSPC).
inline constexpr uint32_t kLeadingSpace = 0x100000;

// Stage is a point at which the MTA sends macros.
enum class Stage : uint8_t { connect, helo, mail, recipient, data, end_of_message, end_of_header };

// Answer is what a callback tells the MTA.
enum class Answer : uint8_t { proceed, no_reply, accept, reject, tempfail, discard };

// Peer is the SMTP client as the connect step names it.
struct Peer {
  std::string_view name;
  std::string_view address;  // empty: not over IP
  bool has_port = false;     // Postfix gives no port for mail that did not come by SMTP
};

// Mta is one connection to an MTA during one callback. Every call that returns bool says whether the MTA took it.
class Mta {
 public:
  virtual ~Mta() = default;
  // macro returns the value of a macro ("j", "{auth_authen}"), or nullptr when the MTA did not send it.
  virtual const char* macro(const char* name) = 0;
  // request_macros asks for these macros at `stage`, during negotiation only.
  virtual bool request_macros(Stage stage, const char* names) = 0;
  // set_reply gives code, enhanced code and text of the answer that follows; `text` is one line with '%' doubled.
  virtual bool set_reply(const char* code, const char* enhanced, const char* text) = 0;

  // The edits, at end of message only.
  virtual bool add_header(const char* name, const char* value) = 0;
  virtual bool insert_header(int index, const char* name, const char* value) = 0;
  // change_header with nullptr as value deletes.
  virtual bool change_header(const char* name, int index, const char* value) = 0;
  virtual bool replace_body(std::string_view chunk) = 0;
  virtual bool change_from(const char* address) = 0;
  virtual bool add_recipient(const char* address) = 0;
  virtual bool delete_recipient(const char* address) = 0;
  virtual bool quarantine(const char* reason) = 0;
  // progress asks the MTA for more time.
  virtual bool progress() = 0;
};

}  // namespace postern::milter
