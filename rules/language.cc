// SPDX-License-Identifier: Apache-2.0
// The tables of the rule language: rules, actions, variables. Each row has a sentence for people and an example that a
// test loads. Look-up is by a sorted index made once; everything here is constant and shared by all threads.
#include "rules/language.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "engine/base/text.h"

namespace postern::rules {
namespace {

constexpr uint32_t kWhole = kNeedHeader | kNeedBody | kNeedStructure;
constexpr uint32_t kScan = kWhole | kNeedScan;
constexpr uint32_t kText = kScan | kNeedText;
constexpr uint32_t kShown = kNeedMail | kNeedRcpt | kNeedHeader | kNeedBody;  // to an external engine

constexpr RuleRow kRules[] = {
    {"subject", "", Compare::regex, 'R', Phase::message, kNeedHeader, kCostHeader,
     "The decoded Subject field, as edited so far, matches the pattern; a message without Subject matches no pattern.",
     R"e(subject == "(?i)^\[tender\]")e"},
    {"body-size", "", Compare::number, 'Z', Phase::message, kNeedHeader | kNeedBody, kCostConstant,
     "Size of the whole message as received, header and attachments included.", "body-size >= 20M"},
    {"mail-from", "", Compare::regex, 'R', Phase::mail, kNeedMail, kCostEnvelope,
     "The envelope sender matches the pattern; the null sender is the empty text, so \"^$\" finds it.",
     R"e(mail-from == "@example\.com$")e"},
    {"rcpt-to", "", Compare::regex, 'R', Phase::rcpt, kNeedRcpt, kCostEnvelope,
     "Any envelope recipient matches the pattern; with phase: rcpt only the recipient in question is looked at.",
     R"e(rcpt-to == "^sales@")e"},
    {"rcpt-count", "", Compare::number, 'N', Phase::data, kNeedRcpt, kCostConstant, "Number of envelope recipients.",
     "rcpt-count > 50"},
    {"remote-ip", "", Compare::equal, 'O', Phase::connect, kNeedConnect, kCostEnvelope,
     "The SMTP client's address is one of the pattern: an address, a network \"10.0.0.0/8\", a prefix \"10.1.\", a "
     "range \"10.1.1.50-55\", also IPv6; several patterns are separated by commas.",
     R"e(remote-ip == "10.1.1.50-55")e"},
    {"recv-listener", "", Compare::equal, 'L', Phase::connect, kNeedConnect, kCostEnvelope,
     "The MTA's listener that took the mail, as its {daemon_name} macro says.", R"e(recv-listener == "submission")e"},
    {"recv-int", "", Compare::equal, 'L', Phase::connect, kNeedConnect, kCostEnvelope,
     "The interface that took the mail, by the name or address the MTA's macros give.",
     R"e(recv-int == "192.0.2.25")e"},
    {"sendergroup", "", Compare::regex, 'R', Phase::mail, kNeedMail, kCostEnvelope,
     "The name of the mail flow that took the message matches the pattern.", R"e(sendergroup == "^inbound$")e"},
    {"date", "", Compare::date, 'D', Phase::connect, 0, kCostConstant,
     "The time now, compared with a local time \"MM/DD/YYYY hh:mm:ss\".", R"e(date > "03/01/2030 00:00:00")e"},
    {"header", "H", Compare::optional_regex, 'R', Phase::message, kNeedHeader, kCostHeader,
     "Alone: the header field is there. Compared: any of its decoded values, as edited so far, matches the pattern.",
     R"e(header("X-Mailer") == "(?i)bulk")e"},
    {"addr-count", "H+", Compare::number, 'N', Phase::message, kNeedHeader, kCostAddresses,
     "Number of addresses in the named header fields together, members of groups included.",
     R"e(addr-count("To", "Cc") > 25)e"},
    {"random", "N", Compare::optional_number, 'N', Phase::connect, 0, kCostConstant,
     "A random number from 0 to N-1, drawn at each evaluation; alone it holds when the number is not 0.",
     "random(10) < 3"},
    {"true", "", Compare::none, '-', Phase::connect, 0, kCostConstant, "Always holds.", "true"},
    {"valid", "", Compare::none, '-', Phase::message, kWhole, kCostStructure,
     "The message is well-formed MIME: no defect was found that makes two mail programs read it differently.",
     "not valid"},
    {"header-repeats", "Hn", Compare::none, '-', Phase::message, kNeedHeader, kCostHeader,
     "The named header field stands in this message at least N times; N is 2 when not given.",
     R"e(header-repeats("From", 2))e"},
    {"malformed-header", "", Compare::none, '-', Phase::message, kWhole, kCostStructure,
     "A header of the message or of one of its parts is malformed: a line that is no field, blanks before a colon, a "
     "control byte, a structured MIME field that cannot be read or stands twice.",
     "malformed-header"},
    {"duplicate-boundaries", "", Compare::none, '-', Phase::message, kWhole, kCostStructure,
     "A MIME boundary is given twice or used by nested multiparts, so that mail programs disagree about the parts.",
     "duplicate-boundaries"},
    {"attachment-filename", "", Compare::regex, 'R', Phase::message, kWhole, kCostStructure,
     "Any attachment has a decoded file name that matches the pattern; every reading of an ambiguous name is tried.",
     R"e(attachment-filename == "(?i)\.(scr|pif|com)$")e"},
    {"attachment-mimetype", "", Compare::equal, 'M', Phase::message, kWhole, kCostStructure,
     "Any attachment is declared with this MIME type; \"video/*\" takes every subtype.",
     R"e(attachment-mimetype == "application/x-msdownload")e"},
    {"attachment-type", "", Compare::equal, 'M', Phase::message, kWhole, kCostStructure,
     "Any attachment is of this MIME type, by declaration or by the extension of its file name.",
     R"e(attachment-type == "video/*")e"},
    {"attachment-filetype", "", Compare::equal, 'f', Phase::message, kScan, kCostScan,
     "Any attachment, or anything found in one (members of archives, objects in documents), is of this file type or "
     "group by its content; a file that can be taken for several types is each of them.",
     R"e(attachment-filetype == "Executable")e"},
    {"attachment-protected", "", Compare::none, '-', Phase::message, kScan, kCostScan,
     "Any attachment, or anything found in one, needs a password or a certificate to be read.", "attachment-protected"},
    {"attachment-unprotected", "", Compare::none, '-', Phase::message, kScan, kCostScan,
     "Any attachment can be read without a password; an archive that is protected in part is both.",
     "attachment-unprotected"},
    {"attachment-macro", "", Compare::none, '-', Phase::message, kScan, kCostScan,
     "Any attachment has macros or their like: VBA, Excel 4.0 macro sheets, DDE, a template loaded from elsewhere.",
     "attachment-macro"},
    {"attachment-unscannable", "", Compare::none, '-', Phase::message, kScan, kCostScan,
     "What is in an attachment could not be found out in full, for whatever reason: it is protected, corrupt, past a "
     "limit, or of a kind that is not read.",
     "attachment-unscannable and not attachment-protected"},
    {"attachment-corrupt", "", Compare::none, '-', Phase::message, kScan, kCostScan,
     "Any attachment, or anything found in one, is broken so that it cannot be read.", "attachment-corrupt"},
    {"mime-ambiguous", "", Compare::none, '-', Phase::message, kWhole, kCostStructure,
     "Mail readers would take this message apart in different ways; rules look at every reading.", "mime-ambiguous"},
    {"attachment-size", "", Compare::number, 'Z', Phase::message, kWhole, kCostStructure,
     "Any attachment has this size as it stands in the message, before decoding.", "attachment-size > 9500k"},
    {"smtp-auth-id-matches", "Iy", Compare::none, '-', Phase::mail, kNeedMail, kCostEnvelope,
     "The SMTP AUTH user is the one of *EnvelopeFrom, *FromAddress or *Sender (case ignored; a user without domain is "
     "compared with the local part); *Any: there is a user, *None: there is none. With a second argument, what "
     "follows the last such character in the local part is ignored.",
     R"e(smtp-auth-id-matches("*FromAddress", "+"))e"},
    {"smtp-auth-id-in-directory", "", Compare::equal, 'q', Phase::mail, kNeedMail, kCostDirectory,
     "Who logged in to send is one of the logins that this LDAP query has for the envelope sender; no where nobody "
     "logged in.",
     R"e(smtp-auth-id-in-directory == "corporate.logins")e"},
    {"mail-from-group", "", Compare::equal, 'g', Phase::mail, kNeedMail, kCostDirectory,
     "The envelope sender is in that group of the directory (group-query in postern.yaml); the null sender is in none.",
     R"e(mail-from-group == "it-staff")e"},
    {"rcpt-to-group", "", Compare::equal, 'g', Phase::rcpt, kNeedRcpt, kCostDirectory,
     "Any envelope recipient is in that group of the directory; with phase: rcpt only the recipient in question is "
     "looked at.",
     R"e(rcpt-to-group == "it-staff")e"},
    {"workqueue-count", "", Compare::number, 'N', Phase::connect, 0, kCostConstant,
     "Number of messages that posternd is working on now.", "workqueue-count > 500"},
    {"virus-verdict", "", Compare::equal, 'v', Phase::message, kShown, kCostEngine,
     "What the anti-virus engines of the flow say: clean, encrypted, unscannable or infected, of several the gravest; "
     "skipped: they are not asked.",
     R"e(virus-verdict == "infected")e"},
    {"spam-score", "", Compare::number, 's', Phase::message, kShown, kCostEngine,
     "The score that the anti-spam engines of the flow give, of several the highest.", "spam-score >= 7.5"},
    {"signed", "", Compare::none, '-', Phase::message, kWhole, kCostStructure,
     "The message or a part of it is signed (S/MIME or OpenPGP, also clear-signed text); signatures are not checked.",
     "signed"},
    {"encrypted", "", Compare::none, '-', Phase::message, kWhole, kCostStructure,
     "The content is encrypted (S/MIME or OpenPGP); an encrypted attachment does not count.", "encrypted"},
    {"body-contains", "Wn", Compare::none, '-', Phase::message, kText, kCostText,
     "The pattern or smart identifier occurs at least N times (default 1) in the body and the attachments together.",
     R"e(body-contains("(?i)company\s+confidential", 2))e"},
    {"only-body-contains", "Wn", Compare::none, '-', Phase::message, kText, kCostText,
     "The pattern or smart identifier occurs at least N times (default 1) in every text part of the body; attachments "
     "are not looked at.",
     R"e(only-body-contains("unsubscribe"))e"},
    {"attachment-contains", "Wn", Compare::none, '-', Phase::message, kText, kCostText,
     "The pattern or smart identifier occurs at least N times (default 1) in the text of the attachments together.",
     R"e(attachment-contains("*credit", 3))e"},
    {"every-attachment-contains", "Wn", Compare::none, '-', Phase::message, kText, kCostText,
     "There are attachments, and the pattern or smart identifier occurs at least N times (default 1) in each of them.",
     R"e(every-attachment-contains("DRAFT"))e"},
    {"attachment-binary-contains", "B", Compare::none, '-', Phase::message, kWhole, kCostText,
     "The pattern occurs in the bytes of any attachment, as they are after its transfer encoding is taken away; each "
     "byte is one character.",
     R"e(attachment-binary-contains("^PK\x03\x04"))e"},
    {"dictionary-match", "Jn", Compare::none, '-', Phase::message, kText, kCostText,
     "The dictionary's entries score at least N (default 1) in the body and the attachments together.",
     R"e(dictionary-match("project-names", 6))e"},
    {"body-dictionary-match", "Jn", Compare::none, '-', Phase::message, kText, kCostText,
     "The dictionary's entries score at least N (default 1) in the body.",
     R"e(body-dictionary-match("project-names", 2))e"},
    {"attachment-dictionary-match", "Jn", Compare::none, '-', Phase::message, kText, kCostText,
     "The dictionary's entries score at least N (default 1) in the text of the attachments together.",
     R"e(attachment-dictionary-match("project-names"))e"},
    {"subject-dictionary-match", "J", Compare::none, '-', Phase::message, kNeedHeader, kCostAddresses,
     "An entry of the dictionary is in the decoded Subject field, as edited so far.",
     R"e(subject-dictionary-match("project-names"))e"},
    {"header-dictionary-match", "JH", Compare::none, '-', Phase::message, kNeedHeader, kCostAddresses,
     "An entry of the dictionary is in any decoded value of the named header field, as edited so far.",
     R"e(header-dictionary-match("project-names", "Keywords"))e"},
    {"mail-from-dictionary-match", "J", Compare::none, '-', Phase::mail, kNeedMail, kCostHeader,
     "An entry of the dictionary is in the envelope sender.", R"e(mail-from-dictionary-match("competitors"))e"},
    {"rcpt-to-dictionary-match", "J", Compare::none, '-', Phase::rcpt, kNeedRcpt, kCostHeader,
     "An entry of the dictionary is in an envelope recipient; with phase: rcpt only the recipient in question is "
     "looked "
     "at.",
     R"e(rcpt-to-dictionary-match("competitors"))e"},
};

constexpr uint32_t kCopy = kNeedMail | kNeedRcpt | kNeedHeader | kNeedBody;
constexpr uint32_t kNotice = kNeedMail | kNeedRcpt | kNeedHeader;
constexpr uint32_t kDrop = kWhole | kEditBody | kEditHeader;
constexpr uint32_t kScanDrop = kDrop | kNeedScan;

constexpr ActionRow kActions[] = {
    {"drop", "", "", true, Phase::mail, 0, "Takes the message and throws it away silently.", "drop"},
    {"bounce", "", "", true, Phase::connect, 0,
     "Refuses the message with 550 5.7.1, so that the sending server returns it to its sender.", "bounce"},
    {"reject", "tke", "text,code,enhanced", true, Phase::connect, 0,
     "Refuses with a permanent reply of your own (550 5.7.1 where not given).",
     R"e(reject: {code: 554, enhanced: 5.7.1, text: "No executables, please ($MID)"})e"},
    {"defer", "tke", "text,code,enhanced", true, Phase::connect, 0,
     "Refuses with a temporary reply (451 4.7.1 where not given); the sender tries again later.",
     R"e(defer: "Try again later")e"},
    {"skip-filters", "", "", true, Phase::connect, 0,
     "Ends filter processing and lets the message go on; in an early phase it ends that phase only.", "skip-filters"},
    {"insert-header", "HT", "name,value", false, Phase::message, kEditHeader,
     "Adds a header field at the end of the header; other characters than ASCII are encoded.",
     R"e(insert-header: {name: X-Path, value: "inbound on $RecvListener"})e"},
    {"strip-header", "H", "name", false, Phase::message, kNeedHeader | kEditHeader,
     "Removes every field of that name as it stands by then; our own trace fields stay.", "strip-header: X-Mailer"},
    {"edit-header-text", "HRg", "name,pattern,replacement", false, Phase::message, kNeedHeader | kEditHeader,
     "Replaces every match of the pattern in the decoded text of the header fields of that name ($1 is the first "
     "group; no replacement: the match is removed); addresses stay readable.",
     R"e(edit-header-text: {name: Subject, pattern: '^(?:re|fwd?):\s*', replacement: ""})e"},
    {"add-footer", "X", "text", false, Phase::message, kDrop,
     "Adds text below the body, in the text and the HTML form, or as a part of its own where neither can take it.",
     R"e(add-footer: "Sent by way of $Hostname")e"},
    {"add-heading", "X", "text", false, Phase::message, kDrop, "Adds text above the body, as add-footer does below it.",
     R"e(add-heading: "This message came from outside.")e"},
    {"alt-rcpt-to", "A", "address", false, Phase::message, kNeedRcpt | kEditRecipients,
     "Replaces all recipients by this one.", "alt-rcpt-to: sandbox@lab.example"},
    {"add-rcpt-to", "A", "address", false, Phase::message, kNeedRcpt | kEditRecipients,
     "Adds a recipient to the envelope; the header does not show it.", "add-rcpt-to: audit@mail.example"},
    {"notify", "Vtfoup", "to,subject,from,template,return-path,alt-mailhost", false, Phase::message, kNotice,
     "Sends a notice about the message: a text of yours, or the envelope and header and the filter's name.",
     R"e(notify: {to: "postmaster@mail.example", subject: "Size rule hit: $BodySize"})e"},
    {"notify-copy", "Vtfoup", "to,subject,from,template,return-path,alt-mailhost", false, Phase::message,
     kNotice | kNeedBody, "Sends a notice as notify does, with the message, as it is by then, attached.",
     R"e(notify-copy: {to: "audit@mail.example", subject: "Contractor mail"})e"},
    {"bcc", "Vtup", "to,subject,return-path,alt-mailhost", false, Phase::message, kCopy,
     "Sends a copy of the message, as it is by then, as a message of its own that passes no filters.",
     R"e(bcc: {to: "audit@mail.example", subject: "[copy] $Subject"})e"},
    {"bcc-scan", "Vtup", "to,subject,return-path,alt-mailhost", false, Phase::message, kCopy,
     "Sends a copy as bcc does; it passes the filters of the same flow as a new message.",
     R"e(bcc-scan: {to: "privacy@mail.example", return-path: "robot@mail.example"})e"},
    {"archive", "D", "name", false, Phase::message, kCopy,
     "Appends the message, as it is by then, to a mailbox file of this name.", "archive: project-mail"},
    {"drop-attachments-by-name", "Rc", "pattern,comment", false, Phase::message, kScanDrop,
     "Removes attachments whose file name matches the pattern, and archives with a member whose name does; the comment "
     "stands in their place.",
     R"e(drop-attachments-by-name: {pattern: '(?i)\.(scr|pif)$', comment: "Removed: $dropped_filename"})e"},
    {"drop-attachments-by-mimetype", "Mc", "type,comment", false, Phase::message, kDrop,
     "Removes attachments declared with this MIME type (\"video/*\" takes every subtype).",
     "drop-attachments-by-mimetype: application/x-msdownload"},
    {"drop-attachments-by-type", "Mc", "type,comment", false, Phase::message, kScanDrop,
     "Removes attachments of this MIME type, by declaration or by the extension of the file name, and archives with "
     "such a member.",
     R"e(drop-attachments-by-type: {type: "video/*", comment: "Video is not relayed here."})e"},
    {"drop-attachments-by-filetype", "Lc", "type,comment", false, Phase::message, kScanDrop,
     "Removes attachments that are of this file type or group by their content, or in which something of it was found.",
     R"e(drop-attachments-by-filetype: {type: Executable, comment: "Removed: $dropped_filename"})e"},
    {"drop-attachments-by-size", "Zc", "size,comment", false, Phase::message, kDrop,
     "Removes attachments of at least this size, as it stands in the message before decoding.",
     "drop-attachments-by-size: 15M"},
    {"drop-attachments-where-contains", "Wcn", "pattern,comment,threshold", false, Phase::message,
     kScanDrop | kNeedText,
     "Removes attachments in whose text the pattern or smart identifier occurs, at least as often as the threshold "
     "says; an attached message goes as a whole.",
     R"e(drop-attachments-where-contains: {pattern: "*credit", threshold: 3, comment: "Removed: $dropped_filename"})e"},
    {"drop-attachments-where-dictionary-match", "Jcn", "dictionary,comment,threshold", false, Phase::message,
     kScanDrop | kNeedText,
     "Removes attachments in whose text the dictionary's entries score at least the threshold (default 1).",
     "drop-attachments-where-dictionary-match: project-names"},
    {"edit-body-text", "Rg", "pattern,replacement", false, Phase::message, kDrop,
     "Replaces every match of the pattern in the text of the body ($1 is the first group; no replacement: the match is "
     "removed), in plain text and between the tags of HTML; signed and encrypted text is never edited.",
     R"e(edit-body-text: {pattern: '(?i)https?://tracker\.example/\S+', replacement: "[link removed]"})e"},
    {"html-convert", "", "", false, Phase::message, kDrop,
     "Makes plain text of the HTML parts of the body, after all filters have run.", "html-convert"},
    {"skip-viruscheck", "", "", false, Phase::mail, 0,
     "The anti-virus engines are not asked about this message, and no rule finds a verdict of theirs.",
     "skip-viruscheck"},
    {"skip-spamcheck", "", "", false, Phase::mail, 0,
     "The anti-spam engines are not asked about this message, and no rule finds a score of theirs.", "skip-spamcheck"},
    {"tag-message", "S", "tag", false, Phase::message, 0,
     "Notes a tag for later stages and the log; nothing of it shows in the message.", "tag-message: confidential"},
    {"log-entry", "T", "text", false, Phase::connect, 0, "Writes a line to the log.",
     R"e(log-entry: "big message from $EnvelopeFrom ($BodySize bytes)")e"},
    {"no-op", "", "", false, Phase::connect, 0, "Does nothing; the filter's match is still logged and counted.",
     "no-op"},
    {"quarantine", "Q", "name", false, Phase::message, kEditQuarantine,
     "Marks the message for quarantine; later filters still run.", "quarantine: Policy"},
    {"duplicate-quarantine", "Q", "name", false, Phase::message, kNeedMail | kNeedRcpt | kNeedHeader | kNeedBody,
     "Keeps a copy of the message, as it is by then, in a quarantine; the message goes on.",
     "duplicate-quarantine: Policy"},
    {"keep-original", "Q", "name", false, Phase::message, kNeedMail | kNeedRcpt | kNeedHeader | kNeedBody,
     "Keeps the message as it was received in a quarantine if a part of it is dropped; the message goes on.",
     "keep-original: Policy"},
    {"alt-mailhost", "P", "host", false, Phase::message, kNeedHeader | kEditHeader,
     "Sends the message to this host instead of the usual next hop, by a header that Postfix's milter_header_checks "
     "acts on (Postfix only).",
     R"e(alt-mailhost: "[192.0.2.25]")e"},
    {"alt-src-host", "P", "host", false, Phase::message, kNeedHeader | kEditHeader,
     "Sends the message from this local address or name, by a header that Postfix's milter_header_checks acts on "
     "(Postfix only).",
     "alt-src-host: 192.0.2.9"},
};

constexpr VariableRow kVariables[] = {
    {"Subject", kNeedHeader, "Decoded Subject; after strip-header still the one that was stripped."},
    {"MID", 0, "Number of the message in the logs of posternd."},
    {"QueueID", 0, "The MTA's queue id, empty while it is not known."},
    {"EnvelopeFrom", kNeedMail, "Envelope sender."},
    {"EnvelopeSender", kNeedMail, "Envelope sender, as $EnvelopeFrom."},
    {"EnvelopeRecipients", kNeedRcpt, "Envelope recipients, separated by commas."},
    {"filenames", kWhole, "File names of the attachments, separated by commas."},
    {"filesizes", kWhole, "Sizes of the attachments, separated by commas."},
    {"filetypes", kWhole, "MIME types of the attachments, separated by commas."},
    {"dropped_filename", 0, "File name of the attachment dropped last."},
    {"dropped_filenames", 0, "File names of all attachments dropped so far, separated by commas."},
    {"dropped_filetypes", 0, "MIME types of all attachments dropped so far, separated by commas."},
    {"FilterName", 0, "Name of the running filter."},
    {"MatchedContent", 0,
     "Text that the last matching pattern, smart identifier or dictionary entry of the running filter found."},
    {"Header", kNeedHeader, "$Header['Name']: decoded value of the first field of that name."},
    {"AllHeaders", kNeedHeader, "The whole header."},
    {"BodySize", kNeedHeader | kNeedBody, "Size of the whole message in bytes."},
    {"Group", kNeedMail, "Name of the mail flow that took the message."},
    {"Policy", kNeedMail, "Name of the mail flow, as $Group."},
    {"Hostname", 0, "Name of this gateway."},
    {"RecvListener", kNeedConnect, "Listener that took the mail."},
    {"RecvInt", kNeedConnect, "Interface that took the mail."},
    {"RemoteIP", kNeedConnect, "Address of the SMTP client."},
    {"remote_ip", kNeedConnect, "Address of the SMTP client, as $RemoteIP."},
    {"remotehost", kNeedConnect, "Name of the SMTP client as the MTA resolved it."},
    {"Date", 0, "Date now, MM/DD/YYYY."},
    {"Time", 0, "Local time now, hh:mm:ss."},
    {"GMTimeStamp", 0, "Date and time now in GMT, as in a Received field."},
    {"Timestamp", 0, "Local date and time now, as in a Received field."},
    {"SMTPAuthID", kNeedMail, "SMTP AUTH user, empty when there is none."},
    {"Virus", kShown, "What the anti-virus engines found, separated by commas; empty where they found nothing."},
    {"SpamScore", kShown, "Score of the anti-spam engines; 'unknown' where they gave none, 'skipped' where not asked."},
    {"From", kNeedHeader, "Decoded From field."},
    {"To", kNeedHeader, "Decoded To field."},
};

// Finds rows by name through a sorted array of indexes, made at first use.
template <class Row>
class Index {
 public:
  explicit Index(std::span<const Row> rows, bool hyphens) : rows_(rows), hyphens_(hyphens) {
    for (size_t i = 0; i < rows.size(); ++i) order_.emplace_back(key(rows[i].name), static_cast<int>(i));
    std::sort(order_.begin(), order_.end());
  }
  int find(std::string_view name) const {
    if (name.size() > 64) return -1;
    const std::string wanted = key(name);
    const auto at = std::lower_bound(order_.begin(), order_.end(), std::pair(wanted, -1));
    return at != order_.end() && at->first == wanted ? at->second : -1;
  }

 private:
  std::string key(std::string_view name) const {
    std::string out = base::lower(name);
    if (hyphens_) std::replace(out.begin(), out.end(), '_', '-');
    return out;
  }
  std::span<const Row> rows_;
  bool hyphens_;
  std::vector<std::pair<std::string, int>> order_;
};

}  // namespace

std::string_view phase_name(Phase phase) {
  constexpr std::string_view kNames[] = {"connect", "helo", "mail", "rcpt", "data", "message"};
  return kNames[static_cast<size_t>(phase)];
}

std::span<const RuleRow> rule_table() { return kRules; }
std::span<const ActionRow> action_table() { return kActions; }
std::span<const VariableRow> variable_table() { return kVariables; }

const RuleRow* find_rule(std::string_view name) {
  static const Index<RuleRow> index(kRules, true);
  const int at = index.find(name);
  return at < 0 ? nullptr : &kRules[at];
}

const ActionRow* find_action(std::string_view name) {
  static const Index<ActionRow> index(kActions, true);
  const int at = index.find(name);
  return at < 0 ? nullptr : &kActions[at];
}

int find_variable(std::string_view name) {
  static const Index<VariableRow> index(kVariables, false);
  return index.find(name);
}

Phase phase_of_needs(uint32_t needs) {
  if ((needs & (kNeedHeader | kNeedBody | kNeedStructure)) != 0) return Phase::message;
  if ((needs & kNeedRcpt) != 0) return Phase::rcpt;
  if ((needs & kNeedMail) != 0) return Phase::mail;
  if ((needs & kNeedHelo) != 0) return Phase::helo;
  return Phase::connect;
}

}  // namespace postern::rules
