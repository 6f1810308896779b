// Known answers for known_answer.cc, one per algorithm, from the published sets in test/vectors.
// Hexadecimal. Keys exclude the salt, which is the front of the nonce.
#pragma once

#include <string_view>

#include "crypto/algorithm.h"

namespace cygnet {

struct KnownAnswer {
  AlgorithmId id;
  std::string_view key;
  std::string_view nonce{};  // or IV
  std::string_view aad{};
  std::string_view plaintext{};   // authenticator: the message
  std::string_view ciphertext{};  // empty for an authenticator
  std::string_view icv{};         // empty for a cipher
};

inline constexpr KnownAnswer kKnownAnswers[] = {
    // draft-mcgrew-gcm-test-01 case 1 (RFC 4106 ESP)
    {.id = AlgorithmId::kAesGcm,
     .key = "4c80cdefbb5d10da906ac73c3613a634",
     .nonce = "2e443b684956ed7e3b244cfe",
     .aad = "000043218765432100000000",
     .plaintext = "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000"
                  "045f736970045f756470037369700963796265726369747902646b000021000101020201",
     .ciphertext = "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f"
                   "14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732",
     .icv = "459018148f6cbe722fd04796562dfdb4"},
    // python3-cryptography AES-128-CCM
    {.id = AlgorithmId::kAesCcm,
     .key = "6e1b5a644d70d0227aabb5ec474aa9ea",
     .nonce = "2cc37d88827c69432a5aa4",
     .aad = "90867aa7a0c31f50a23f80df",
     .plaintext = "2e0b1740467fd3c965dfadeba2dd7200",
     .ciphertext = "e928a8a6bf4f92a27ff9527b5ccc7f88",
     .icv = "16e46eb77f0e61b0aef210aaf2fa140e"},
    // NIST CAVP gcmEncryptExtIV128 0/48/128 0
    {.id = AlgorithmId::kAesGmac,
     .key = "99e3e8793e686e571d8285c564f75e2b",
     .nonce = "c2dd0ab868da6aa8ad9c0d23",
     .aad = "b668e42d4e444ca8b23cfdd95a9fedd5",
     .plaintext = "178aa521144890b093733cf5cf22526c5917ee476541809ac6867a8c399309fc",
     .ciphertext = "178aa521144890b093733cf5cf22526c5917ee476541809ac6867a8c399309fc",
     .icv = "3f4fba100eaf1f34b0baadaae9995d85"},
    // RFC 7634 appendix A
    {.id = AlgorithmId::kChaCha20Poly1305,
     .key = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     .nonce = "a0a1a2a31011121314151617",
     .aad = "0102030400000005",
     .plaintext = "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec1000073627"
                  "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b"
                  "2c2d2e2f303132333435363701020204",
     .ciphertext = "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099"
                   "d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b50"
                   "2773f6fb94e664da9165b82829f641e0",
     .icv = "76aaa8266b7fb0f7b11b369907e1ad43"},
    // RFC 3602 case 2
    {.id = AlgorithmId::kAesCbc,
     .key = "c286696d887c9aa0611bbb3e2025a45a",
     .nonce = "562e17996d093d28ddb3ba695a2e6f58",
     .plaintext = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     .ciphertext = "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"},
    // RFC 3686 section 6, AES-256 1
    {.id = AlgorithmId::kAesCtr,
     .key = "f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884",
     .nonce = "00faac24c1585ef15a43d875",
     .plaintext = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     .ciphertext = "f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c"},
    // NIST CAVP TCBCMMT3 1
    {.id = AlgorithmId::kDes3Cbc,
     .key = "a49d7564199e97cb529d2c9d97bf2f98d35edf57ba1f7358",
     .nonce = "c2e999cb6249023c",
     .plaintext = "c689aee38a301bb316da75db36f110b5",
     .ciphertext = "e9afaba5ec75ea1bbe65506655bb4ecb"},
    // RFC 2202 HMAC-SHA1 4
    {.id = AlgorithmId::kHmacSha1,
     .key = "0102030405060708090a0b0c0d0e0f10111213141516171819",
     .plaintext = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
                  "cdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     .icv = "4c9007f4026250c6bc8414f9bf50c86c2d7235da"},
    // RFC 4231 HMAC-SHA256 4
    {.id = AlgorithmId::kHmacSha256,
     .key = "0102030405060708090a0b0c0d0e0f10111213141516171819",
     .plaintext = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
                  "cdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     .icv = "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    // RFC 4231 HMAC-SHA384 4
    {.id = AlgorithmId::kHmacSha384,
     .key = "0102030405060708090a0b0c0d0e0f10111213141516171819",
     .plaintext = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
                  "cdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     .icv = "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23"
            "c4a7d679ccf8a386c674cffb"},
    // RFC 4231 HMAC-SHA512 4
    {.id = AlgorithmId::kHmacSha512,
     .key = "0102030405060708090a0b0c0d0e0f10111213141516171819",
     .plaintext = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
                  "cdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     .icv = "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c1"
            "1aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd"},
    // RFC 3566 case 4
    {.id = AlgorithmId::kAesXcbc,
     .key = "000102030405060708090a0b0c0d0e0f",
     .plaintext = "000102030405060708090a0b0c0d0e0f10111213",
     .icv = "47f51b4564966215b8985c63055ed308"},
    // SP 800-38B AES-128 2
    {.id = AlgorithmId::kAesCmac,
     .key = "2b7e151628aed2a6abf7158809cf4f3c",
     .plaintext = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46"
                  "a35ce411",
     .icv = "dfa66747de9ae63030ca32611497c827"},
};

}  // namespace cygnet
