// SPDX-License-Identifier: Apache-2.0
// RFC 4514 by a small reader and writer of our own: OpenSSL's writes names but does not read them.
#include "engine/x509/names.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>

#include "engine/base/text.h"
#include "engine/x509/spki.h"

namespace postern::x509 {

namespace {

// The words of RFC 4514 section 3 and those that certificates use besides; each with the string type RFC 5280 wants.
struct Attribute {
  std::string_view word;
  int nid;
  int type;
};
constexpr std::array<Attribute, 16> kAttributes = {{
    {"CN", NID_commonName, V_ASN1_UTF8STRING},
    {"L", NID_localityName, V_ASN1_UTF8STRING},
    {"ST", NID_stateOrProvinceName, V_ASN1_UTF8STRING},
    {"O", NID_organizationName, V_ASN1_UTF8STRING},
    {"OU", NID_organizationalUnitName, V_ASN1_UTF8STRING},
    {"C", NID_countryName, V_ASN1_PRINTABLESTRING},
    {"STREET", NID_streetAddress, V_ASN1_UTF8STRING},
    {"DC", NID_domainComponent, V_ASN1_IA5STRING},
    {"UID", NID_userId, V_ASN1_UTF8STRING},
    {"emailAddress", NID_pkcs9_emailAddress, V_ASN1_IA5STRING},
    {"serialNumber", NID_serialNumber, V_ASN1_PRINTABLESTRING},
    {"SN", NID_surname, V_ASN1_UTF8STRING},
    {"GN", NID_givenName, V_ASN1_UTF8STRING},
    {"title", NID_title, V_ASN1_UTF8STRING},
    {"postalCode", NID_postalCode, V_ASN1_UTF8STRING},
    {"organizationIdentifier", NID_organizationIdentifier, V_ASN1_UTF8STRING},
}};

std::string type_text(const ASN1_OBJECT* object) {
  const int nid = OBJ_obj2nid(object);
  for (const Attribute& attribute : kAttributes) {
    if (nid == attribute.nid) return std::string(attribute.word);
  }
  // Not the number of a known object but the digits: names of OpenSSL's are not everybody's.
  std::array<char, 256> digits{};
  const int size = OBJ_obj2txt(digits.data(), digits.size(), object, 1);
  return size > 0 && static_cast<size_t>(size) < digits.size() ? std::string(digits.data()) : "0.0";
}

bool is_known_word(std::string_view word) {
  return std::ranges::any_of(kAttributes, [&](const Attribute& attribute) { return attribute.word == word; });
}

bool is_dotted(std::string_view word) {
  if (word.size() > 128) return false;
  return std::ranges::all_of(base::split(word, '.'), [](std::string_view number) {
    return !number.empty() && number.find_first_not_of("0123456789") == std::string_view::npos;
  });
}

std::string hex_value(const ASN1_STRING* value) { return "#" + hex(encode<i2d_ASN1_PRINTABLE>(value)); }

std::string escape_value(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
      out += '\\' + hex(std::string_view(&c, 1));
      continue;
    }
    const bool edge = (c == ' ' && (i == 0 || i + 1 == text.size())) || (c == '#' && i == 0);
    if (edge || std::string_view("\"+,;<>\\=").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string value_text(const ASN1_STRING* value, bool known) {
  if (!known) return hex_value(value);
  switch (ASN1_STRING_type(value)) {
    case V_ASN1_UTF8STRING:
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_T61STRING:
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING:
    case V_ASN1_NUMERICSTRING:
      break;
    default:
      return hex_value(value);
  }
  unsigned char* raw = nullptr;
  const int size = ASN1_STRING_to_UTF8(&raw, value);
  const OpensslBytes owner(raw);
  if (size < 0) {
    ERR_clear_error();
    return hex_value(value);
  }
  const std::string_view text(reinterpret_cast<char*>(raw), static_cast<size_t>(size));
  if (!base::is_valid_utf8(text) || text.find('\0') != std::string_view::npos) return hex_value(value);
  return escape_value(text);
}

// Reader walks the text; every function leaves `at_` behind what it took.
class NameReader {
 public:
  explicit NameReader(std::string_view text) : text_(text) {}

  base::Result<NameHandle> read() {
    NameHandle name(X509_NAME_new());
    if (!name) return base::fail(base::Cause::internal, "no memory for a name");
    skip_blanks();
    bool joins = false;
    for (size_t count = 0; at_ < text_.size(); ++count) {
      if (count == kMaxNameParts) return base::fail(base::Cause::limit, "name: too many parts");
      auto more = part(name.get(), joins);
      if (!more) return std::unexpected(std::move(more).error());
      if (*more == '\0') return name;
      joins = *more == '+';
      skip_blanks();
      if (at_ == text_.size()) return fault("ends with a separator");
    }
    return name;
  }

 private:
  std::unexpected<base::Error> fault(std::string_view what) const {
    return base::fail(base::Cause::malformed, "name: " + std::string(what) + " at byte " + std::to_string(at_ + 1) +
                                                  " of \"" + base::escape_for_log(text_, 120) + "\"");
  }
  void skip_blanks() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }

  // part reads TYPE=VALUE, puts it before what is there (text and certificate count from opposite ends) and returns the
  // separator after it, NUL at the end.
  base::Result<char> part(X509_NAME* name, bool joins) {
    const size_t equals = text_.find('=', at_);
    if (equals == std::string_view::npos) return fault("no '='");
    const std::string_view word = base::trim(text_.substr(at_, equals - at_));
    int type = V_ASN1_UTF8STRING;
    base::Handle<ASN1_OBJECT, ASN1_OBJECT_free> object;
    for (const Attribute& attribute : kAttributes) {
      if (!base::iequals(word, attribute.word)) continue;
      object.reset(OBJ_nid2obj(attribute.nid));
      type = attribute.type;
    }
    if (!object && is_dotted(word)) {
      object.reset(OBJ_txt2obj(std::string(word).c_str(), 1));
    }
    if (!object) {
      ERR_clear_error();
      return fault("unknown type \"" + base::escape_for_log(word, 40) + "\"");
    }
    at_ = equals + 1;
    skip_blanks();
    auto entry = at_ < text_.size() && text_[at_] == '#' ? hex_entry(object.get()) : text_entry(object.get(), type);
    if (!entry) return std::unexpected(std::move(entry).error());
    // set -1 joins the entry to the one before the place, 1 to the one behind it, 0 opens a set of its own.
    if (X509_NAME_add_entry(name, entry->get(), 0, joins ? 1 : 0) != 1) {
      return std::unexpected(openssl_error(base::Cause::malformed, "name"));
    }
    if (at_ == text_.size()) return '\0';
    return text_[at_++];
  }

  using Entry = base::Handle<X509_NAME_ENTRY, X509_NAME_ENTRY_free>;

  base::Result<Entry> hex_entry(const ASN1_OBJECT* object) {
    const size_t end = std::min(text_.find_first_of(",+;", at_), text_.size());
    const auto der = unhex(base::trim(text_.substr(at_ + 1, end - at_ - 1)));
    if (!der) return fault("not a hexadecimal value");
    const unsigned char* bytes = bytes_of(*der);
    const base::Handle<ASN1_STRING, ASN1_STRING_free> value(
        d2i_ASN1_PRINTABLE(nullptr, &bytes, static_cast<long>(der->size())));
    Entry entry(X509_NAME_ENTRY_new());
    if (!value || bytes != bytes_of(*der) + der->size() || !entry ||
        X509_NAME_ENTRY_set_object(entry.get(), object) != 1 ||
        ASN1_STRING_copy(X509_NAME_ENTRY_get_data(entry.get()), value.get()) != 1) {
      ERR_clear_error();
      return fault("not a value in DER");
    }
    at_ = end;
    return entry;
  }

  base::Result<Entry> text_entry(const ASN1_OBJECT* object, int type) {
    std::string value;
    size_t keep = 0;  // blanks beyond this length are unescaped and, at the end, not part of the value
    for (; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == ',' || c == '+' || c == ';') break;
      if (c == '"' || c == '<' || c == '>' || c == '\0') return fault("a character that must be escaped");
      if (c == '\\') {
        const std::string_view rest = text_.substr(at_ + 1);
        if (!rest.empty() && std::string_view(" \"#+,;<=>\\").find(rest[0]) != std::string_view::npos) {
          c = rest[0];
          at_ += 1;
        } else if (const auto byte = unhex(rest.substr(0, 2)); byte && byte->size() == 1) {
          c = (*byte)[0];
          at_ += 2;
        } else {
          return fault("a backslash before nothing it can escape");
        }
        value += c;
        keep = value.size();
        continue;
      }
      value += c;
      if (c != ' ') keep = value.size();
    }
    value.resize(keep);
    if (!base::is_valid_utf8(value) || value.find('\0') != std::string::npos) return fault("a value that is no text");
    // The narrow types hold ASCII; what goes beyond is kept rather than refused.
    if (type != V_ASN1_UTF8STRING && !base::is_ascii(value)) type = V_ASN1_UTF8STRING;
    Entry entry(X509_NAME_ENTRY_create_by_OBJ(nullptr, object, type, bytes_of(value), static_cast<int>(value.size())));
    if (!entry) return std::unexpected(openssl_error(base::Cause::malformed, "name"));
    return entry;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string name_text(const X509_NAME* name) {
  std::string out;
  const int count = X509_NAME_entry_count(name);
  for (int i = count - 1; i >= 0; --i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    if (i + 1 < count) {
      out += X509_NAME_ENTRY_set(X509_NAME_get_entry(name, i + 1)) == X509_NAME_ENTRY_set(entry) ? '+' : ',';
    }
    const std::string type = type_text(X509_NAME_ENTRY_get_object(entry));
    out += type + "=" + value_text(X509_NAME_ENTRY_get_data(entry), is_known_word(type));
  }
  return out;
}

base::Result<NameHandle> parse_name(std::string_view text) {
  if (text.size() > kMaxNameText) return base::fail(base::Cause::limit, "name: too long");
  return NameReader(text).read();
}

}  // namespace postern::x509
