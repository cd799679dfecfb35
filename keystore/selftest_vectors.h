// SPDX-License-Identifier: Apache-2.0
// What the self-tests in selftest.cc expect, in hexadecimal. Published vectors where there are any; what was computed
// with the openssl command (3.0) says so. The private keys here protect nothing: they are in every copy of this file.
#pragma once
#include <string_view>

namespace postern::keystore::vectors {

// Stands for an answer where there is none: a random generator has only to be sound.
inline constexpr std::string_view kRandom = "736f756e64";

// FIPS 180-4, examples published with it: "abc".
inline constexpr std::string_view kSha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
inline constexpr std::string_view kSha384 =
    "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
inline constexpr std::string_view kSha512 =
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643c"
    "e80e2a9ac94fa54ca49f";

// RFC 4231, test case 2.
inline constexpr std::string_view kHmac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

// RFC 5869, A.1.
inline constexpr std::string_view kHkdfKey = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b";
inline constexpr std::string_view kHkdfSalt = "000102030405060708090a0b0c";
inline constexpr std::string_view kHkdfInfo = "f0f1f2f3f4f5f6f7f8f9";
inline constexpr std::string_view kHkdf =
    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";

// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16.
inline constexpr std::string_view kGcmKey = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
inline constexpr std::string_view kGcmNonce = "cafebabefacedbaddecaf888";
inline constexpr std::string_view kGcmData = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
inline constexpr std::string_view kGcmPlain =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0d"
    "e657ba637b39";
inline constexpr std::string_view kGcmCipher =
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba"
    "7a0abcc9f662";
inline constexpr std::string_view kGcmTag = "76fc6ece0f4e1768cddf8853bb2d551b";

// RFC 5649, section 6, with its key of 192 bits; and computed with openssl enc -id-aes256-wrap-pad.
inline constexpr std::string_view kWrap192Key = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8";
inline constexpr std::string_view kWrap192Plain = "c37b7e6492584340bed12207808941155068f738";
inline constexpr std::string_view kWrap192 = "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a";
inline constexpr std::string_view kWrap256Key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
inline constexpr std::string_view kWrap256Plain = "74686520717569636b2062726f776e20666f782c206b6579207772";
inline constexpr std::string_view kWrap256 =
    "79700bb86ccf8aa79196002dab42efe77f1be9000468d69ef3105b56ef088995300a42365648c10c";

// RFC 7914, section 12 ("password", "NaCl", 1024, 8, 16) and section 11 ("passwd", "salt", 1).
inline constexpr std::string_view kScrypt =
    "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83"
    "ee6d8360cbdfa2cc0640";
inline constexpr std::string_view kPbkdf2 =
    "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e3"
    "0bd509112041d3a19783";

// Key and signatures of "sample" with SHA-256 computed with openssl genpkey and openssl dgst (salt of 32 bytes).
inline constexpr std::string_view kRsaKey =
    "308204bc020100300d06092a864886f70d0101010500048204a6308204a20201000282010100b85c78d0a3ae4bb48f6e403dc7bceb02"
    "b78e1eebf4b7b2cf0c1b355811b89e84fe0e676d2659a58d2fe324309676e9fbb8a51e3a57f2e6a3b5068540527f8091431e87ad414d"
    "b4b9ea2b46cd54910ed019c881490b6a064aca0731d17cf91e95aea51ef7e729bdd395610ad377b73da1f563cb081c363a22ff40e88c"
    "84bae0ea0d230762907e478617401de722ea86743a48e7923795fdd54debe6a4b0d43bcddd7087fa934e62726854843cacebd7fc42ca"
    "40221f1af50a3a9e1ab83c329aa8e80244be2f194bac04ed64e1ac9876e839d64974f7a54b708e0bff01eced1009f17f7ddcead100f5"
    "51cdec6f7a874a8c8ab505a90c4a770667590feb75256b0702030100010282010055756fff6ed03d818e37120a514b2e390d3310fc59"
    "6cc9b3162e8a94af6a3ff8eff76753fe41f1eeb772f7f499dab76d9ad2d7673e1b77740d56df6fc88e17dfbe1829d652fe1d374ce810"
    "a2df7f7a3956aa4ddbb931c586e78d5c377a51d42e984d2c44c7dfde8174ae0e21a64dc7810ac9de747cf75a0d9cface914c798005d4"
    "b140a911cd4dff6991172905f74a0a449b90d61fcc394e3009c6f38b33d4422014abd8c17fc1bec1f1a282c59199694711035e87d3bf"
    "a42f4b79f6a5a57a7bfe9d9660c76d3b6da678f3c83c00d64a0e9d6cd34c99337083330e5871dcafa78b009efab367086d4702af6278"
    "205721cc393666b09a5ddea05437b6bb6eed7102818100e4cc634af11bb0853a2afe1efe26bc46b674d148f147072e9d2ed19d9f5a95"
    "bd92c6c0bd0bc7931e926eb64c7e3627fd915d584afedccbda302c9c1a470097c19a40f1b4c537bed7fcf1669c0f65ed652408c75f63"
    "d92c70383a83e85be135642853bdd2db33c533b09b1c64b80bc306c2c4a2f49c115d256fece416e3686e5f02818100ce479ce6c4a31d"
    "b9e791da447f781301ae6b56576d2b962b1b7d93ca55a0ec267c34dd4c5dc0118428690a6e6a968442ad53d7268a05e4053b99a3571d"
    "c95b5d67d088f0bdc98f5da042e512f1effcd7d7edb86a277fd7393eb4fe51a54b83c80d690c219a3ae6d3e53cc5181ed3693c38470f"
    "22e7fe653fb0f9a64e94ac745902818064202db3b61feff7dda4c2e0bd48264cabbc237a505c4d00513913f26eb22da5707e1a0aa105"
    "0d94eb7017c711d4915b9e29c361ce76c19f1245f36a6c780df16397d82ecbbfc17cb3ecd082ab1a67f142fbb4844225e0149c06bf83"
    "07f25e731e52c757672618beae22b3224088a5286843b52c66c0128b3797eb99389b92f102818057f059a85b9dfa573dac85337c7011"
    "123f6c4d03ba6bc17a211f18f94225f766b4bec8b4fca69c110e3531983ee26a020ee856297cdfe40483130d7a5f1d6f50d3a8282911"
    "8fb309c3ffa0aec1eb808bf7e6c51ea43630e79b9f076881223f4cf2c29cc45a7ecfd6f7bc3f7df7ee42c7c46a2ebebfce4915acf9d0"
    "f7611460090281801c4ad8555138e5ebdaa45bed974a241936859557ba20383ed944530fd57ef0013f9778d94144acf70d186cc6999d"
    "8e9b15115169b8e995e3b3166404360d228fdc65e63bcafb4dee8a731909a7c45f0be6b1d179be9686ce649a81dbfdf592bba39ec3cf"
    "7366681dc3ed3b6171efd644f0b3bad8fb72a5b05c83651446dfc1d6";
inline constexpr std::string_view kRsaPkcs1 =
    "a84725542fcefe18720d7a8b679740e74ce8f4fe2399e20e3e52cc190b6b7dc7244498b68d368f3f3c49c716b1d875a378424881518a"
    "e23bcf73cc366e8638025912ae09dd480fbb09e4fb24def73808c9bd1fde3842550dfd9d486a5ef795410969a2505de083d971284031"
    "73dde55b0a98db184442899d3070b0976122ff04ca5b265bf8e3d06aad5f06a57a468946d010cac3c6a77d330e9a16195bc1427edc2c"
    "6fdd2a7ffd191cc3813e0e80bbcffdef6087f6a1b0129ebe62c0915c4d8db76a5d835d542a75af02ed2c6eee5b988dc7dd1dda2cbdb4"
    "e07758f88b8fa7560b5ba46a5c9e4fe9a10641e990127718a716d9c330db6d62a689cd48cec2095f";
inline constexpr std::string_view kRsaPss =
    "8390b6139d252263395246cb0d1c457f720b5c8ba7f206236c63cb9c9d31d2fdf9912adfd8f90d3f75d6be4d01553775a9547aeef947"
    "5b4d51354c36349598ed9bd4f3f633d15662e74c54627449fdbb42268f1441b9acdc8f258dbc8dfe01d0110659845fde436aef7cded1"
    "509652bfa6b73570fc48a39b9704c9d3c9eec51f24f13f25143b423884acb16cc55c2ae01bf315f763f1c5109ff94e520b6e45d2e031"
    "441b87a757ca17c9d06f783a4167797c7fdc9b6cf4566aafb9e6675604630b8e4f7dfd815f560cd41265dfdeed53adbcc3407a302727"
    "ef5c432fc1845a9b68cbe97b208ce4eb5dd5aed142a742cc8540b0ae262f149906f1ec64f1bb12a1";

// RFC 6979, A.2.5 and A.2.6: "sample" with SHA-256 and SHA-384.
inline constexpr std::string_view kP256Key =
    "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420c9afa9d845ba75166b5c215767b1d6934e50c3"
    "db36e89b127b8a622b120f6721";
inline constexpr std::string_view kP256 =
    "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c942d657c41d436c7a1b6e2"
    "9f65f3e900dbb9aff4064dc4ab2f843acda8";
inline constexpr std::string_view kP384Key =
    "304e020100301006072a8648ce3d020106052b810400220437303502010104306b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf2"
    "97ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5";
inline constexpr std::string_view kP384 =
    "306602310094edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe4602"
    "310099ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8";

// RFC 8032, section 7.1, test 2.
inline constexpr std::string_view kEd25519Key =
    "302e020100300506032b6570042204204ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
inline constexpr std::string_view kEd25519Message = "72";
inline constexpr std::string_view kEd25519 =
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
    "2aeeb00d291612bb0c00";

}  // namespace postern::keystore::vectors
