// SPDX-License-Identifier: Apache-2.0
// Rules and actions over what content scanning finds, with a scanner that says what the test wants: what counts as
// found, what as not found, and what nobody could tell.
#include <map>

#include "engine/mime/charset.h"
#include "test/unit/rules_eval_fixture.h"

namespace postern::rules {
namespace {

using namespace std::string_literals;
using namespace test;

using scan::FileType;
using scan::Leaf;
using scan::Mark;
using scan::Protection;
using scan::Reason;

// Scripted answers by the first line of what it is given: words of which each describes one leaf.
//   exe txt zip docx … a type; "zip>exe" a member in it; "!corrupt" etc. a reason; "*yes" a protection; "+vba" a mark;
//   "/a.exe" a name; "=word" text
struct ScriptedScanner : scan::Scanner {
  int asked = 0;
  bool text = false;
  std::chrono::milliseconds waited{0};

  static void add(std::string_view word, std::string path, scan::Verdict& verdict) {
    Leaf leaf;
    leaf.path = std::move(path);
    leaf.types.clear();
    size_t at = 0;
    while (at < word.size()) {
      const size_t end = std::min(word.find_first_of("!*+/=", at + 1), word.size());
      const std::string_view piece = word.substr(at, end - at);
      at = end;
      const std::string_view value = piece.substr(1);
      if (piece.front() == '!') {
        for (int i = 0; i < static_cast<int>(Reason::count_); ++i) {
          if (reason_name(static_cast<Reason>(i)) == value) leaf.reason = static_cast<Reason>(i);
        }
      } else if (piece.front() == '*') {
        for (int i = 0; i < static_cast<int>(Protection::count_); ++i) {
          if (protection_name(static_cast<Protection>(i)) == value) leaf.protection = static_cast<Protection>(i);
        }
      } else if (piece.front() == '+') {
        const std::map<std::string_view, Mark> marks = {{"vba", Mark::macro_vba},
                                                        {"xlm", Mark::macro_xlm},
                                                        {"dde", Mark::macro_dde},
                                                        {"template", Mark::remote_template},
                                                        {"active", Mark::active_content}};
        leaf.marks = static_cast<uint16_t>(marks.at(value));
      } else if (piece.front() == '=') {
        leaf.text = value;
      } else if (piece.front() == '/') {
        leaf.name = value;
      } else {
        leaf.types.push_back(scan::find_type(piece).value_or(FileType::unknown));
      }
    }
    if (leaf.types.empty()) leaf.types.push_back(FileType::unknown);
    leaf.mime = info(leaf.types.front()).mime;
    verdict.leaves.push_back(std::move(leaf));
  }

  scan::Verdict scan(const scan::Job& job) override {
    ++asked;
    text = job.want_text;
    scan::Verdict verdict;
    std::string_view line = job.bytes.substr(0, job.bytes.find_first_of("\r\n"));
    std::string path;
    while (!line.empty()) {
      const size_t end = line.find('>');
      add(line.substr(0, end), path, verdict);
      path += "!m";
      line = end == std::string_view::npos ? std::string_view() : line.substr(end + 1);
    }
    if (verdict.leaves.empty()) add("txt", "", verdict);
    verdict.waited = waited;
    return verdict;
  }
};

Outcome run_scanned(const RuleSet& rules, Mail& mail, ScriptedScanner& scanner) {
  const scan::ScanSettings settings;
  Facts facts(*mail.message, rules, "inbound", 0);
  facts.inspection().set(&scanner, &settings, (rules.needs() & kNeedText) != 0);
  Outcome outcome;
  EvalOptions options;
  options.report_all = true;
  evaluate(rules, Phase::message, facts, options, outcome);
  return outcome;
}

std::string mail_with(const std::string& content) {
  return "From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: "
         "text/plain\n\ntxt\n--b\nContent-Type: application/octet-stream\nContent-Disposition: attachment; "
         "filename=a.bin\n\n" +
         content + "\n--b--\n";
}

std::string ask_scanned(std::string_view condition, const std::string& content) {
  const auto rules = load_filter(condition, {"no-op"});
  if (rules == nullptr) return "(does not load)";
  Mail mail(mail_with(content));
  ScriptedScanner scanner;
  return truth_text(run_scanned(*rules, mail, scanner).reports.front().result);
}

TEST(ScanRules, WithoutMemoryNothingIsTakenForClean) {
  const auto rules = load_filter(R"(attachment-contains("nothing like it"))", {"no-op"});
  ASSERT_NE(rules, nullptr);
  int left = 0;
  int asked = 0;
  bool refused = true;
  for (int room = 0; refused; ++room) {
    ASSERT_LT(room, 20);
    // "zip>txt\n\x01", decoded into memory; what stands as it is needs none.
    std::string whole = mail_with("emlwPnR4dAoB");
    whole.insert(whole.find("\nContent-Disposition"), "\nContent-Transfer-Encoding: base64");
    Mail mail(whole);
    ScriptedScanner scanner;
    left = room;
    mail.message->reserve = [&](uint64_t) { return left-- > 0; };
    const std::string result = truth_text(run_scanned(*rules, mail, scanner).reports.front().result);
    refused = mail.message->lacking() == "limits.memory";
    // The text of the body comes last, and is no attachment; the pipeline defers the message all the same.
    EXPECT_EQ(result, room < 2 ? "unknown(unscannable)" : "false") << room;
    // Nobody is asked about a message that is deferred.
    if (room == 0) {
      EXPECT_EQ(scanner.asked, 0);
    }
    asked = scanner.asked;
  }
  EXPECT_EQ(asked, 1);
}

TEST(ScanRules, WhoWaitedInVainIsDeferred) {
  using std::chrono::milliseconds;
  const auto rules = load_filter(R"(attachment-filetype == "Executable")", {"no-op"});
  ASSERT_NE(rules, nullptr);
  const auto lacking = [&](const char* content, milliseconds waited) {
    Mail mail(mail_with(content));
    ScriptedScanner scanner;
    scanner.waited = waited;
    run_scanned(*rules, mail, scanner);
    return std::string(mail.message->lacking());
  };
  const milliseconds long_wait = scan::ScanLimits().time / 4 + milliseconds(1);
  EXPECT_EQ(lacking("zip>txt!time", long_wait), "scan.max-workers");
  EXPECT_EQ(lacking("txt!unavailable", long_wait), "scan.max-workers");
  EXPECT_EQ(lacking("zip>txt", long_wait), "");
  EXPECT_EQ(lacking("zip!corrupt>txt", long_wait), "");
  // It had its time: the fault is its own.
  EXPECT_EQ(lacking("zip>txt!time", milliseconds(100)), "");
  EXPECT_EQ(lacking("txt!unavailable", milliseconds(100)), "");
}

TEST(ScanRules, TypesOfEverythingFound) {
  const struct {
    const char* content;
    const char* executable;
  } cases[] = {
      {"exe", "true"},
      {"txt", "false"},
      {"gif", "false"},
      {"zip>exe", "true"},
      {"zip>zip>dll", "true"},
      {"zip>txt", "false"},
      {"gif!none", "false"},
      {"zip!corrupt", "unknown(unscannable)"},
      {"zip!corrupt>exe", "true"},
      {"zip>unknown!password", "unknown(unscannable)"},
      {"docx!password*yes", "unknown(unscannable)"},
      {"txt!unavailable", "unknown(unscannable)"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(ask_scanned(R"(attachment-filetype == "Executable")", each.content), each.executable) << each.content;
    const std::string no = each.executable == std::string("true")    ? "false"
                           : each.executable == std::string("false") ? "true"
                                                                     : each.executable;
    EXPECT_EQ(ask_scanned(R"(attachment-filetype != "executables")", each.content), no) << each.content;
  }
  EXPECT_EQ(ask_scanned(R"(attachment-filetype == "dll")", "zip>dll"), "true");
  EXPECT_EQ(ask_scanned(R"(attachment-filetype == "exe")", "zip>dll"), "false");
  // The text of the body is no attachment.
  EXPECT_EQ(ask_scanned(R"(attachment-filetype == "txt")", "gif"), "false");
}

TEST(ScanRules, ProtectionIsAskedOfEverything) {
  const struct {
    const char* content;
    const char* locked;
    const char* open;
  } cases[] = {
      {"docx", "false", "true"},
      {"docx*yes!password", "true", "false"},
      {"zip*partly>txt", "true", "true"},
      {"zip>pdf*yes!password", "true", "true"},
      {"zip*unknown!corrupt", "unknown(unscannable)", "unknown(unscannable)"},
      {"zip!depth", "unknown(unscannable)", "true"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(ask_scanned("attachment-protected", each.content), each.locked) << each.content;
    EXPECT_EQ(ask_scanned("attachment-unprotected", each.content), each.open) << each.content;
  }
}

TEST(ScanRules, MacrosAndTrouble) {
  for (const char* content : {"docm+vba", "xls+xlm", "zip>csv+dde", "docx+template"}) {
    EXPECT_EQ(ask_scanned("attachment-macro", content), "true") << content;
  }
  EXPECT_EQ(ask_scanned("attachment-macro", "pdf+active"), "false");
  EXPECT_EQ(ask_scanned("attachment-macro", "xls!password*yes"), "unknown(unscannable)");
  EXPECT_EQ(ask_scanned("attachment-unscannable", "pdf"), "false");
  for (const char* reason : {"corrupt", "password", "crash", "time", "memory", "depth", "size", "members", "ratio",
                             "overlap", "text", "unsupported", "partial", "unavailable"}) {
    EXPECT_EQ(ask_scanned("attachment-unscannable", "zip>txt!" + std::string(reason)), "true") << reason;
  }
  EXPECT_EQ(ask_scanned("attachment-corrupt", "zip>pdf!corrupt"), "true");
  // What was not looked at may be broken.
  for (const char* reason : {"crash", "time", "memory", "depth", "size", "members", "ratio", "unavailable"}) {
    EXPECT_EQ(ask_scanned("attachment-corrupt", "zip>txt!" + std::string(reason)), "unknown(unscannable)") << reason;
  }
  for (const char* reason : {"password", "text", "unsupported"}) {
    EXPECT_EQ(ask_scanned("attachment-corrupt", "zip>txt!" + std::string(reason)), "false") << reason;
  }
}

std::string body_mail(const std::string& content) {
  return "From: a@example.org\nMIME-Version: 1.0\nContent-Type: text/plain\n\n" + content + "\n";
}

std::string ask_body(std::string_view condition, const std::string& content) {
  const auto rules = load_filter(condition, {"no-op"});
  if (rules == nullptr) return "(does not load)";
  Mail mail(body_mail(content));
  ScriptedScanner scanner;
  return truth_text(run_scanned(*rules, mail, scanner).reports.front().result);
}

TEST(ScanRules, ABodyThatNobodyLookedIntoMayBeMoreThanText) {
  for (const char* reason : {"crash", "time", "memory", "depth", "size", "members", "ratio", "unavailable"}) {
    EXPECT_EQ(ask_body("attachment-unscannable", "unknown!" + std::string(reason)), "true") << reason;
    EXPECT_EQ(ask_body("attachment-corrupt", "unknown!" + std::string(reason)), "unknown(unscannable)") << reason;
  }
  for (const char* content : {"txt", "txt!text", "txt!unsupported", "txt!corrupt"}) {
    EXPECT_EQ(ask_body("attachment-unscannable", content), "false") << content;
    EXPECT_EQ(ask_body("attachment-corrupt", content), "false") << content;
  }
  EXPECT_EQ(ask_body("attachment-unscannable", "txt>zip!depth"), "true");
}

// Base64 that gives `content` to a reader that decodes each line for itself, and something else to others.
std::string lines_apart(std::string_view content) {
  std::string first = mime::encode_base64(content.substr(0, 1));
  return first.substr(0, 2) + "\n" + mime::encode_base64(content.substr(1));
}

std::string apart_mail(const std::string& content, std::string_view name = "a.bin") {
  return "From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntxt\n--b\n"
         "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=" +
         std::string(name) + "\nContent-Transfer-Encoding: base64\n\n" + lines_apart(content) + "--b--\n";
}

TEST(ScanRules, OtherDecodingsAreSearchedToo) {
  const auto ask_apart = [](std::string_view condition, const std::string& mail_text) {
    const auto rules = load_filter(condition, {"no-op"});
    Mail mail(mail_text);
    ScriptedScanner scanner;
    return truth_text(run_scanned(*rules, mail, scanner).reports.front().result);
  };
  const std::string mail = apart_mail("exe\n");
  EXPECT_EQ(ask_apart(R"(attachment-filetype == "Executable")", mail), "true");
  EXPECT_EQ(ask_apart(R"(attachment-binary-contains("^exe"))", mail), "true");
  const std::string word = apart_mail("txt=secretss\n");
  EXPECT_EQ(ask_apart(R"(attachment-contains("secret"))", word), "true");
  EXPECT_EQ(ask_apart(R"(body-contains("secret"))", word), "true");
  EXPECT_EQ(ask_apart(R"(body-dictionary-match("project-names"))", apart_mail("txt=Bluebird\n")), "false");
  // The body in another decoding is body still.
  const std::string body =
      "From: a@example.org\nMIME-Version: 1.0\nContent-Type: text/plain\n"
      "Content-Transfer-Encoding: base64\n\n" +
      lines_apart("txt=Bluebird\n");
  EXPECT_EQ(ask_apart(R"(attachment-contains("Bluebird"))", body), "false");
  EXPECT_EQ(ask_apart(R"(body-dictionary-match("project-names"))", body), "true");
  EXPECT_EQ(ask_apart(R"(attachment-filetype == "txt")", body), "false");
}

// A scanner that goes by labels, as mail readers do: text in the character set and type that it is said to be in, and a
// program by its name or type.
struct LabelScanner : scan::Scanner {
  scan::Verdict scan(const scan::Job& job) override {
    scan::Verdict verdict = scan::unscannable(Reason::none, job.name, job.declared_mime, job.bytes.size());
    Leaf& leaf = verdict.leaves.front();
    leaf.protection = Protection::no;
    leaf.types = {scan::type_of_extension(job.name).value_or(FileType::txt)};
    bool tag = false;
    for (const char c : mime::to_utf8(job.bytes, job.charset).utf8) {
      if (job.declared_mime == "text/html" && c == '<') tag = true;
      if (!tag) leaf.text += c;
      if (c == '>') tag = false;
    }
    return verdict;
  }
};

// Who opens an attachment goes by one of its names, and nobody knows which.
TEST(ScanRules, EachNameThatIsAnotherKindOfFileIsScanned) {
  const auto attached = [](std::string_view name, std::string_view file_name) {
    return "From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntxt\n--b\n"
           "Content-Type: image/jpeg; name=" +
           std::string(name) + "\nContent-Disposition: attachment; filename=" + std::string(file_name) +
           "\n\nx\n--b--\n";
  };
  const scan::ScanSettings settings;
  LabelScanner scanner;
  const auto answer = [&](std::string_view condition, const std::string& text) {
    const auto rules = load_filter(condition, {"no-op"});
    Mail mail(text);
    Facts facts(*mail.message, *rules, "inbound", 0);
    facts.inspection().set(&scanner, &settings, true);
    Outcome outcome;
    EvalOptions options;
    options.report_all = true;
    evaluate(*rules, Phase::message, facts, options, outcome);
    return truth_text(outcome.reports.front().result);
  };
  const char* page = R"(attachment-filetype == "html")";
  EXPECT_EQ(answer(page, attached("a.jpg", "a.html")), "true");
  EXPECT_EQ(answer(page, attached("a.html", "a.jpg")), "true");
  EXPECT_EQ(answer(page, attached("a.jpg", "\"a.eml. \"")), "false");
  EXPECT_EQ(answer(R"(attachment-filetype == "rfc822")", attached("a.jpg", "\"a.eml. \"")), "true");
  EXPECT_EQ(answer(R"(attachment-filetype == "jpeg")", attached("a.jpg", "a.html")), "true");
  EXPECT_EQ(answer(page, attached("a.jpg", "b.jpg")), "false");
  const char* text = R"(attachment-filetype == "txt")";
  EXPECT_EQ(answer(text, attached("a.jpg", "b.jpg")), "false");
  EXPECT_EQ(answer(text, attached("a.jpg", "a.iqy")), "true")
      << "an extension that stands for no type may for a worker";
}

// What a second header says of the same bytes counts, in every rule and for every drop.
TEST(ScanRules, OtherLabelsOfTheSameContentCount) {
  const std::string head = "From: a@example.org\nMIME-Version: 1.0\n";
  const auto twice = [&](std::string_view first, std::string_view second, std::string_view body) {
    return head + "Content-Type: " + std::string(first) + "\nContent-Type: " + std::string(second) + "\n\n" +
           std::string(body) + "\n";
  };
  const std::string utf7 =
      twice("text/plain; charset=us-ascii", "text/plain; charset=utf-7", "+AEIAbAB1AGUAYgBpAHIAZA-");
  const std::string html = twice("text/plain", "text/html", "Blue<b></b>bird");
  const std::string both =
      twice("text/plain; charset=us-ascii", "text/html; charset=utf-7", "+AEIAbAB1AGU-<b></b>bird");
  const std::string many = head +
                           "Content-Type: text/plain; charset=a; charset=b; charset=c; charset=d; charset=e; "
                           "charset=utf-7\n\n+AEIAbAB1AGUAYgBpAHIAZA-\n";
  const std::string program = twice("text/plain", "application/x-msdownload", "del /q *");
  const auto in_parts = [&](std::string_view name) {
    return head +
           "Content-Type: multipart/mixed; boundary=aa; boundary=bb\n\n"
           "--aa\nContent-Disposition: attachment; filename=ok.txt\n\ndel /q *\n--aa--\n"
           "--bb\nContent-Disposition: attachment; filename=" +
           std::string(name) + "\n\ndel /q *\n--bb--\n";
  };
  const std::string blanks = head + "Content-Type: multipart/mixed; boundary=aa\n\n--aa\n" + std::string(100, '\n') +
                             "Content-Type: application/x-msdownload; name=evil.bat\n\ndel /q *\n--aa--\n";
  const struct {
    const char* condition;
    std::string mail;
    const char* answer;
  } cases[] = {
      {R"(body-contains("Bluebird"))", utf7, "true"},
      {R"(body-contains("Bluebird"))", html, "true"},
      {R"(body-contains("Bluebird"))", both, "true"},
      {R"(body-contains("Bluebird"))", many, "true"},
      {R"(body-contains("Redbird"))", html, "false"},
      {R"(dictionary-match("project-names"))", utf7, "true"},
      {R"(dictionary-match("project-names"))", html, "true"},
      {R"(body-dictionary-match("project-names"))", both, "true"},
      {R"(dictionary-match("competitors"))", program, "false"},
      {R"(attachment-mimetype == "application/x-msdownload")", program, "true"},
      {R"(attachment-mimetype == "image/*")", program, "false"},
      {R"(attachment-type == "application/x-msdownload")", program, "true"},
      {R"(attachment-filename == "evil")", in_parts("evil.bat"), "true"},
      {R"(attachment-filename == "evil")", in_parts("ok.txt"), "false"},
      {R"(attachment-filetype == "Executable")", in_parts("evil.bat"), "true"},
      {R"(attachment-filetype == "Executable")", in_parts("ok.txt"), "false"},
      {R"(attachment-filename == "evil")", blanks, "true"},
      {R"(attachment-mimetype == "application/x-msdownload")", blanks, "true"},
      {"mime-ambiguous", utf7, "true"},
      {"mime-ambiguous", in_parts("evil.bat"), "true"},
      {"mime-ambiguous", blanks, "true"},
  };
  const scan::ScanSettings settings;
  LabelScanner scanner;
  const auto evaluated = [&](const RuleSet& rules, const std::string& text) {
    Mail mail(text);
    Facts facts(*mail.message, rules, "inbound", 0);
    facts.inspection().set(&scanner, &settings, true);
    Outcome outcome;
    EvalOptions options;
    options.report_all = true;
    evaluate(rules, Phase::message, facts, options, outcome);
    return outcome;
  };
  for (const auto& each : cases) {
    const auto rules = load_filter(each.condition, {"no-op"});
    ASSERT_NE(rules, nullptr) << each.condition;
    EXPECT_EQ(truth_text(evaluated(*rules, each.mail).reports.front().result), each.answer) << each.condition << "\n"
                                                                                            << each.mail;
  }
  const std::pair<const char*, std::string> drops[] = {
      {"drop-attachments-by-mimetype: application/x-msdownload", program},
      {"drop-attachments-by-type: application/x-msdownload", program},
      {"drop-attachments-by-name: evil", in_parts("evil.bat")},
      {"drop-attachments-by-filetype: Executable", in_parts("evil.bat")},
      {R"(drop-attachments-where-contains: "Bluebird")", html},
      {"drop-attachments-by-name: evil", blanks},
  };
  for (const auto& [action, text] : drops) {
    const auto rules = load_filter("true", {action});
    ASSERT_NE(rules, nullptr) << action;
    EXPECT_FALSE(evaluated(*rules, text).quarantines.empty()) << action << "\n" << text;
  }
}

// What begins like a picture or a signature is looked into as everything is.
TEST(ScanRules, PicturesAndSignaturesAreScanned) {
  struct : scan::Scanner {
    scan::Verdict scan(const scan::Job& job) override {
      scan::Verdict verdict = scan::unscannable(Reason::none, job.name, job.declared_mime, job.bytes.size());
      verdict.leaves.front().protection = Protection::no;
      if (job.bytes.find("PK") == std::string_view::npos) return verdict;
      verdict.leaves.push_back(verdict.leaves.front());
      verdict.leaves.back().text = "a secret plan";
      return verdict;
    }
  } scanner;
  using namespace std::string_literals;
  const std::pair<std::string, std::string> cases[] = {
      {"image/bmp; name=x.bmp", "BM\0\0\0\0\0\0\0\0"s},
      {"image/png", "\x89PNG\x0d\x1a\n"s},
      {"audio/mpeg", "ID3\4\0\0\0\0\0\0\0\0"s},
      {"application/pkcs7-signature; name=smime.p7s", "0\x82\0\0"s},
  };
  const auto rules = load_filter(R"(attachment-contains("secret"))", {"no-op"});
  ASSERT_NE(rules, nullptr);
  const scan::ScanSettings settings;
  for (const auto& [type, start] : cases) {
    for (const bool more : {false, true}) {
      Mail mail(
          "From: a@example.org\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\nContent-Disposition: "
          "attachment\nContent-Type: " +
          type + "\n\n" + mime::encode_base64(start + (more ? "PK\3\4" : "xx")));
      Facts facts(*mail.message, *rules, "inbound", 0);
      facts.inspection().set(&scanner, &settings, true);
      Outcome outcome;
      EvalOptions options;
      options.report_all = true;
      evaluate(*rules, Phase::message, facts, options, outcome);
      EXPECT_EQ(truth_text(outcome.reports.front().result), more ? "true" : "false") << type;
    }
  }
}

TEST(ScanRules, AreAskedOnceAndOnlyWhatIsNeeded) {
  const auto rules = load("filters:\n" + filter("a", R"(attachment-filetype == "exe")", {"no-op"}) +
                          filter("b", "attachment-protected or attachment-macro", {"no-op"}));
  ASSERT_NE(rules, nullptr);
  Mail mail(mail_with("pdf"));
  ScriptedScanner scanner;
  run_scanned(*rules, mail, scanner);
  EXPECT_EQ(scanner.asked, 2);  // the text of the body, and the attachment
  EXPECT_FALSE(scanner.text);
  const auto none = load_filter("subject == \"x\"", {"no-op"});
  Mail other(mail_with("pdf"));
  run_scanned(*none, other, scanner);
  EXPECT_EQ(scanner.asked, 2);
  const auto texts = load_filter(R"(attachment-contains("x"))", {"no-op"});
  Mail third(mail_with("\x01pdf"));
  run_scanned(*texts, third, scanner);
  EXPECT_TRUE(scanner.text);
}

// Text of all scans of a message together is bounded, and what is kept is asked for.
TEST(ScanRules, WhatIsFoundIsBoundedOverTheMessage) {
  struct : scan::Scanner {
    std::vector<uint64_t> limits;
    scan::Verdict scan(const scan::Job& job) override {
      limits.push_back(job.limits.text);
      scan::Verdict verdict = scan::unscannable(Reason::none, job.name, job.declared_mime, job.bytes.size());
      verdict.leaves.front().text = std::string(std::min<uint64_t>(400, job.limits.text), 'x');
      if (job.limits.text < 400) verdict.leaves.front().reason = Reason::text;
      return verdict;
    }
  } scanner;
  std::string text = "From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 4; ++i) text += "--b\nContent-Type: application/zip\n\nPK\n";
  text += "--b--\n";
  const auto rules = load_filter(R"(attachment-contains("secret"))", {"no-op"});
  ASSERT_NE(rules, nullptr);
  const scan::ScanSettings settings;
  const auto answer = [&](uint64_t most, uint64_t memory) {
    scanner.limits.clear();
    base::Limits limits;
    limits.decoded_text = most;
    Mail mail(text, limits);
    Facts facts(*mail.message, *rules, "inbound", 0);
    facts.inspection().set(&scanner, &settings, true);
    mail.message->reserve = [&](uint64_t bytes) {
      if (bytes > memory) return false;
      memory -= bytes;
      return true;
    };
    Outcome outcome;
    EvalOptions options;
    options.report_all = true;
    evaluate(*rules, Phase::message, facts, options, outcome);
    return truth_text(outcome.reports.front().result);
  };
  EXPECT_EQ(answer(1u << 20, 1u << 20), "false");
  EXPECT_EQ(answer(1000, 1u << 20), "unknown(unscannable)");
  // The last part is searched first.
  EXPECT_EQ(scanner.limits, (std::vector<uint64_t>{1000, 600, 200, 0}));
  EXPECT_EQ(answer(1u << 20, 1500), "unknown(unscannable)");
}

// What a drop leaves of a message, and whether it could tell.
struct Dropped {
  bool gone = false;
  bool held = false;
};
Dropped drop(const std::string& action, const std::string& content, bool whole = false) {
  const auto rules = load_filter("true", {action});
  EXPECT_NE(rules, nullptr) << action;
  if (rules == nullptr) return {};
  Mail mail(whole ? content : mail_with(content));
  ScriptedScanner scanner;
  const Outcome outcome = run_scanned(*rules, mail, scanner);
  return {mail.whole().find("filename=a.bin") == std::string::npos, !outcome.quarantines.empty()};
}

TEST(ScanActions, DropByFiletypeTakesTheWholeAttachment) {
  const std::string action = "drop-attachments-by-filetype: Executable";
  for (const char* content : {"exe", "zip>exe", "docx>exe", "zip!depth>exe"}) {
    const Dropped dropped = drop(action, content);
    EXPECT_TRUE(dropped.gone) << content;
  }
  for (const char* content : {"txt", "zip>txt"}) {
    const Dropped dropped = drop(action, content);
    EXPECT_FALSE(dropped.gone || dropped.held) << content;
  }
  const Dropped unclear = drop(action, "zip!password*yes");
  EXPECT_FALSE(unclear.gone);
  EXPECT_TRUE(unclear.held);
}

TEST(ScanActions, DropByNameAndTypeLookIntoArchives) {
  const std::string by_name = R"(drop-attachments-by-name: '\.exe$')";
  EXPECT_TRUE(drop(by_name, "zip>txt/evil.exe").gone);
  EXPECT_TRUE(drop(by_name, "zip>unknown!password/evil.exe").gone);
  EXPECT_FALSE(drop(by_name, "zip>txt/good.txt").gone);
  EXPECT_FALSE(drop(by_name, "zip>txt/good.txt").held);
  // A document behind a password hides no name of a member; an archive that hides its names does.
  EXPECT_FALSE(drop(by_name, "pdf!password*yes").held);
  EXPECT_TRUE(drop(by_name, "7z!password*yes").held);
  const std::string by_type = "drop-attachments-by-type: application/vnd.microsoft.portable-executable";
  EXPECT_TRUE(drop(by_type, "zip>exe").gone);
  EXPECT_FALSE(drop(by_type, "exe").gone);  // the attachment itself is judged by what it says of itself
}

TEST(ScanActions, NamesBehindALimitAreNotKnown) {
  const std::string by_name = R"(drop-attachments-by-name: '\.exe$')";
  for (const char* content :
       {"rfc822!depth", "smime!depth", "msg!members", "pdf!depth", "docx!time", "one!memory", "txt!depth", "exe!crash",
        "unknown!size", "pdf!corrupt", "rfc822!corrupt", "smime!unsupported", "rfc822!partial", "docx>zip!depth"}) {
    EXPECT_TRUE(drop(by_name, content).held) << content;
  }
  for (const char* content : {"pdf!text", "zip!text", "gif!corrupt", "txt!corrupt", "txt!unsupported",
                              "smime!password*yes", "pgp!password*yes", "mdb!unsupported"}) {
    EXPECT_FALSE(drop(by_name, content).held) << content;
  }
}

TEST(ScanActions, FilesInTheTextOfTheBodyHoldTheMessage) {
  const std::string programs = "drop-attachments-by-type: application/vnd.microsoft.portable-executable";
  for (const std::string& action :
       {std::string("drop-attachments-by-filetype: Executable"), std::string(R"(drop-attachments-by-name: '\.exe$')"),
        programs, std::string(R"(drop-attachments-where-contains: "never")")}) {
    EXPECT_FALSE(drop(action, body_mail("txt>gif/calc.gif"), true).held) << action;
  }
  EXPECT_TRUE(drop("drop-attachments-by-filetype: Executable", body_mail("txt>exe/calc.exe"), true).held);
  EXPECT_TRUE(drop(R"(drop-attachments-by-name: '\.exe$')", body_mail("txt>exe/calc.exe"), true).held);
  EXPECT_TRUE(drop(programs, body_mail("txt>exe/calc.exe"), true).held);
  EXPECT_TRUE(drop(R"(drop-attachments-by-name: '\.exe$')", body_mail("txt>zip!depth"), true).held);
}

TEST(ScanActions, OtherDecodingsCount) {
  for (const char* action : {"drop-attachments-by-filetype: Executable", R"(drop-attachments-by-name: '\.exe$')",
                             "drop-attachments-by-type: application/vnd.microsoft.portable-executable",
                             R"(drop-attachments-where-contains: "secret")"}) {
    const Dropped dropped = drop(action, apart_mail("zip>exe/a.exe=secrets\n"), true);
    EXPECT_FALSE(dropped.gone) << action;
    EXPECT_TRUE(dropped.held) << action;
    const Dropped other = drop(action, apart_mail("zip>gif/a.gif=word\n"), true);
    EXPECT_FALSE(other.gone || other.held) << action;
  }
  // A part that goes takes every reading of it along; labels are the same in each.
  for (const char* action : {R"(drop-attachments-by-name: 'bin$')", "drop-attachments-by-mimetype: application/*",
                             "drop-attachments-by-type: application/octet-stream"}) {
    const Dropped dropped = drop(action, apart_mail("exe\n"), true);
    EXPECT_TRUE(dropped.gone) << action;
    EXPECT_FALSE(dropped.held) << action;
  }
  EXPECT_FALSE(drop("drop-attachments-by-size: 1M", apart_mail("exe\n"), true).held);
  // By type, the attachment itself is judged by what it says of itself, however it is decoded.
  const Dropped itself =
      drop("drop-attachments-by-type: application/vnd.microsoft.portable-executable", apart_mail("exe\n"), true);
  EXPECT_FALSE(itself.gone || itself.held);
}

TEST(ScanActions, WhatStaysInAnEncryptedPartHoldsTheMessage) {
  const std::string mail =
      "From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/encrypted; boundary=b\n\n--b\n\ntxt\n--b\n"
      "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=a.bin\n\nexe\n--b--\n";
  for (const char* action : {"drop-attachments-by-filetype: Executable", R"(drop-attachments-by-name: '\.bin$')",
                             "drop-attachments-by-mimetype: application/octet-stream",
                             "drop-attachments-by-type: application/octet-stream", "drop-attachments-by-size: 1"}) {
    const Dropped dropped = drop(action, mail, true);
    EXPECT_FALSE(dropped.gone) << action;
    EXPECT_TRUE(dropped.held) << action;
  }
  EXPECT_FALSE(drop("drop-attachments-by-filetype: pdf", mail, true).held);
}

}  // namespace
}  // namespace postern::rules
