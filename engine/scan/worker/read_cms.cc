// SPDX-License-Identifier: Apache-2.0
// S/MIME and OpenPGP: what is signed is opened without judging the signature; what is encrypted needs its key, which is
// not here.
// cms.h declares its PEM functions only behind pem.h.
#include <openssl/pem.h>

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include <algorithm>
#include <memory>

#include "engine/scan/worker/containers.h"
#include "engine/scan/worker/unpack.h"

namespace postern::scan::worker {
namespace {

template <typename T, void (*F)(T*)>
struct FreeBy {
  void operator()(T* pointer) const { F(pointer); }
};
using CmsPointer = std::unique_ptr<CMS_ContentInfo, FreeBy<CMS_ContentInfo, CMS_ContentInfo_free>>;
using BioPointer = std::unique_ptr<BIO, FreeBy<BIO, BIO_free_all>>;

constexpr size_t kMost = 1u << 30;

void need_key(Context& context) {
  context.leaf().protection = Protection::yes;
  context.fail(Reason::password);
}

}  // namespace

void read_cms(Context& context) {
  const std::string_view bytes = context.bytes();
  if (bytes.size() > kMost) return context.fail(Reason::size);
  const BioPointer in(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  if (!in) return context.fail(Reason::memory);
  const bool pem = bytes.substr(0, 4096).find("-----BEGIN") != std::string_view::npos;
  const CmsPointer cms(pem ? PEM_read_bio_CMS(in.get(), nullptr, nullptr, nullptr) : d2i_CMS_bio(in.get(), nullptr));
  ERR_clear_error();
  if (!cms) return context.fail(Reason::corrupt);
  switch (OBJ_obj2nid(CMS_get0_type(cms.get()))) {
    case NID_pkcs7_signed:
    case NID_pkcs7_data: {
      ASN1_OCTET_STRING** content = CMS_get0_content(cms.get());
      ERR_clear_error();
      // Detached: what was signed is elsewhere in the message.
      if (content == nullptr || *content == nullptr) return;
      const std::string_view inner(reinterpret_cast<const char*>(ASN1_STRING_get0_data(*content)),
                                   static_cast<size_t>(ASN1_STRING_length(*content)));
      Child found;
      found.bytes = inner;
      found.name = "signed";
      // By its definition the content is MIME; that which is not is told by its looks.
      const std::string_view head = inner.substr(0, 512);
      const bool header =
          head.find("ontent-") != std::string_view::npos || head.find("CONTENT-") != std::string_view::npos;
      found.declared_mime = header ? "message/rfc822" : "";
      found.is_message = header;
      context.child(found);
      return;
    }
    case NID_pkcs7_enveloped:
    case NID_pkcs7_signedAndEnveloped:
    case NID_pkcs7_encrypted:
    case NID_id_smime_ct_authEnvelopedData:
      return need_key(context);
    default:
      return context.fail(Reason::unsupported);
  }
}

void read_pgp(Context& context) { need_key(context); }

}  // namespace postern::scan::worker
