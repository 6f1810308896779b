// Every built-in engine against published vectors (test/vectors).
#include "support/engine_conformance.h"

#include "support/hex.h"
#include "support/vector_file.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Keys;
using test::Suite;
using test::ToHex;
using test::VectorRecord;

struct VectorFile {
  const char* name;
  AlgorithmKind kind;
  const char* algorithm;
  int expected;  // number of vectors that must run
};

constexpr VectorFile kAeadFiles[] = {
    {"aes_gcm.txt", AlgorithmKind::kAead, "rfc4106(gcm(aes))", 12},
    {"aes_gcm_cavp.txt", AlgorithmKind::kAead, "rfc4106(gcm(aes))", 387},
    {"aes_ccm.txt", AlgorithmKind::kAead, "rfc4309(ccm(aes))", 54},
    {"aes_gmac.txt", AlgorithmKind::kAead, "rfc4543(gcm(aes))", 72},
    {"chacha20_poly1305.txt", AlgorithmKind::kAead, "rfc7539esp(chacha20,poly1305)", 12},
};
constexpr VectorFile kCipherFiles[] = {
    {"aes_cbc.txt", AlgorithmKind::kCipher, "cbc(aes)", 34},
    {"des3_cbc.txt", AlgorithmKind::kCipher, "cbc(des3_ede)", 20},
    {"aes_ctr.txt", AlgorithmKind::kCipher, "rfc3686(ctr(aes))", 9},
};
constexpr VectorFile kAuthFiles[] = {
    {"hmac_sha1.txt", AlgorithmKind::kAuth, "hmac(sha1)", 7},
    {"hmac_sha256.txt", AlgorithmKind::kAuth, "hmac(sha256)", 6},
    {"hmac_sha384.txt", AlgorithmKind::kAuth, "hmac(sha384)", 6},
    {"hmac_sha512.txt", AlgorithmKind::kAuth, "hmac(sha512)", 6},
    {"aes_xcbc.txt", AlgorithmKind::kAuth, "xcbc(aes)", 7},
    {"aes_cmac.txt", AlgorithmKind::kAuth, "cmac(aes)", 4},
};

const AlgorithmDescriptor* Row(const VectorFile& file) {
  return FindAlgorithm(file.kind, file.algorithm);
}

// Text and room for the ICV, in the layout of a job.
struct Message {
  Bytes bytes;
  std::size_t text_length;

  Message(const Bytes& text, std::size_t icv_bytes) : bytes(text), text_length(text.size()) {
    bytes.resize(text.size() + icv_bytes);
  }
  CryptoJob Job(CryptoSession* session) {
    CryptoJob job;
    job.session = session;
    job.text = bytes.data();
    job.text_length = static_cast<uint32_t>(text_length);
    job.icv = bytes.data() + text_length;
    job.auth_begin = bytes.data();
    return job;
  }
  std::string text() const { return ToHex({bytes.data(), text_length}); }
  std::string icv() const { return ToHex(std::span(bytes).subspan(text_length)); }
};

class VectorConformance : public test::EngineTest {
 protected:
  template <typename Fn>
  void ForEach(const VectorFile& file, Fn check) {
    SCOPED_TRACE(file.name);
    int run = 0;
    for (const VectorRecord& v :
         test::ReadVectorFile(CYGNET_VECTORS "/" + std::string(file.name))) {
      SCOPED_TRACE(v.Text("source"));
      if (check(v)) ++run;
      EXPECT_TRUE(v.Unused().empty()) << v.Unused()[0];
    }
    EXPECT_EQ(run, file.expected);
  }

  bool CheckAead(const AlgorithmDescriptor& algorithm, const VectorRecord& v) {
    const Bytes nonce = v.Bytes("nonce");
    const Bytes aad = v.Bytes("aad");
    const Bytes plain = v.Bytes("plaintext");
    const Bytes cipher = v.Bytes("ciphertext");
    const Bytes icv = v.Bytes("icv");
    const bool forged = v.Has("result") && v.Text("result") == "fail";
    Keys keys;
    keys.key = v.Bytes("key");
    keys.key.resize(keys.key.size() + algorithm.salt_bytes);  // the salt is part of the nonce here
    if (aad.size() > CryptoJob{}.aad.size()) return false;    // longer than any ESP AAD
    const Suite suite{&algorithm, nullptr, keys.key.size(), static_cast<uint8_t>(icv.size())};
    if (Lacks(suite, keys)) return true;
    const test::Sessions sessions = harness_->MakeSessions(suite, keys);
    const auto run = [&](Message* message, CryptoSession* session) {
      CryptoJob job = message->Job(session);
      std::copy(nonce.begin(), nonce.end(), job.nonce.begin());
      std::copy(aad.begin(), aad.end(), job.aad.begin());
      job.aad_length = static_cast<uint32_t>(aad.size());
      return harness_->Run(job);
    };
    if (IsOutsideEsp(aad.size(), sessions.open.get())) return true;
    Message arrived(cipher, icv.size());
    std::copy(icv.begin(), icv.end(), arrived.bytes.end() - static_cast<int>(icv.size()));
    if (forged) {
      EXPECT_EQ(run(&arrived, sessions.open.get()), CryptoStatus::kAuthFailed);
      return true;
    }
    EXPECT_EQ(run(&arrived, sessions.open.get()), CryptoStatus::kOk);
    EXPECT_EQ(arrived.text(), ToHex(plain));
    Message sealed(plain, icv.size());
    EXPECT_EQ(run(&sealed, sessions.seal.get()), CryptoStatus::kOk);
    EXPECT_EQ(sealed.text(), ToHex(cipher));
    EXPECT_EQ(sealed.icv(), ToHex(icv));
    return true;
  }

  // A plug-in need not do AADs of other lengths than those of ESP; then it says so.
  bool IsOutsideEsp(std::size_t aad_bytes, CryptoSession* open) {
#ifdef CYGNET_PLUGIN_ENGINES
    if (aad_bytes == 8 || aad_bytes == 12) return false;
    Bytes bytes(32);
    CryptoJob job;
    job.session = open;
    job.text = bytes.data();
    job.icv = bytes.data();
    job.aad_length = static_cast<uint32_t>(aad_bytes);
    return harness_->Run(job) == CryptoStatus::kNotDone;
#else
    (void)aad_bytes, (void)open;
    return false;
#endif
  }

  bool CheckCipher(const AlgorithmDescriptor& algorithm, const AlgorithmDescriptor& auth,
                   const VectorRecord& v) {
    const Bytes nonce = v.Bytes(v.Has("iv") ? "iv" : "nonce");
    const Bytes plain = v.Bytes("plaintext");
    const Bytes cipher = v.Bytes("ciphertext");
    Keys keys;
    keys.key = v.Bytes("key");
    keys.key.resize(keys.key.size() + algorithm.salt_bytes);
    keys.auth_key = Bytes(auth.key_bytes[0], 0x11);
    const Suite suite{&algorithm, &auth, keys.key.size(), auth.default_icv_bytes()};
    if (Lacks(suite, keys)) return true;
    const test::Sessions sessions = harness_->MakeSessions(suite, keys);
    Message message(plain, suite.icv_bytes);
    CryptoJob job = message.Job(sessions.seal.get());
    std::copy(nonce.begin(), nonce.end(), job.nonce.begin());
    EXPECT_EQ(harness_->Run(job), CryptoStatus::kOk);
    EXPECT_EQ(message.text(), ToHex(cipher));
    job.session = sessions.open.get();
    EXPECT_EQ(harness_->Run(job), CryptoStatus::kOk);
    EXPECT_EQ(message.text(), ToHex(plain));
    return true;
  }

  // The message as text of the null cipher. Its last `tail` bytes may be passed as the ESN's high
  // word instead.
  void CheckMac(const Suite& suite, const Keys& keys, const VectorRecord& v, std::size_t tail) {
    Bytes text = v.Bytes("message");
    uint32_t esn_high = 0;
    if (tail != 0) esn_high = LoadBe32(text.data() + text.size() - tail);
    text.resize(text.size() - tail);
    const std::string expected = v.Text("icv").substr(0, suite.icv_bytes * 2u);
    if (Lacks(suite, keys)) return;
    const test::Sessions sessions = harness_->MakeSessions(suite, keys);
    Message message(text, suite.icv_bytes);
    CryptoJob job = message.Job(sessions.seal.get());
    job.esn_high = esn_high;
    job.append_esn_high = tail != 0;
    EXPECT_EQ(harness_->Run(job), CryptoStatus::kOk);
    EXPECT_EQ(message.icv(), expected);
    EXPECT_EQ(message.text(), ToHex(text));
    job.session = sessions.open.get();
    EXPECT_EQ(harness_->Run(job), CryptoStatus::kOk);
    EXPECT_EQ(message.icv(), expected);
    EXPECT_EQ(message.text(), ToHex(text));
  }
};

TEST_P(VectorConformance, AeadsSealAndOpen) {
  for (const VectorFile& file : kAeadFiles) {
    if (!harness_->engine()->Supports(*Row(file), nullptr)) continue;
    ForEach(file, [&](const VectorRecord& v) { return CheckAead(*Row(file), v); });
  }
}

TEST_P(VectorConformance, CiphersSealAndOpenBesideEveryAuthenticator) {
  for (const VectorFile& file : kCipherFiles) {
    for (const VectorFile& auth : kAuthFiles) {
      if (!harness_->engine()->Supports(*Row(file), Row(auth))) continue;
      ForEach(file, [&](const VectorRecord& v) { return CheckCipher(*Row(file), *Row(auth), v); });
    }
  }
}

TEST_P(VectorConformance, AuthenticatorsWholeTruncatedAndWithSequenceHigh) {
  const auto* null_cipher = FindAlgorithm(AlgorithmKind::kCipher, "ecb(cipher_null)");
  for (const VectorFile& file : kAuthFiles) {
    const AlgorithmDescriptor* auth = Row(file);
    if (!harness_->engine()->Supports(*null_cipher, auth)) continue;
    ForEach(file, [&](const VectorRecord& v) {
      Keys keys;
      keys.auth_key = v.Bytes("key");
      for (const uint8_t icv : {auth->icv_bytes[0], auth->default_icv_bytes()}) {
        const Suite suite{null_cipher, auth, 0, icv};
        CheckMac(suite, keys, v, 0);
        if (v.Bytes("message").size() >= 4) CheckMac(suite, keys, v, 4);
      }
      return true;
    });
  }
}

CYGNET_OVER_EVERY_ENGINE(VectorConformance);

TEST(OpensslEngineTest, DoesEverySuiteOfTheTable) {
  const auto reference = test::ReferenceHarness();
  ASSERT_NE(reference, nullptr);
  EXPECT_EQ(test::AllSuites().size(), 118u);
  for (const Suite& suite : test::AllSuites()) EXPECT_TRUE(reference->Does(suite)) << suite.name();
}

// RFC 8221 section 4: no encryption without authentication.
TEST(OpensslEngineTest, DoesNoCipherWithoutAnAuthenticator) {
  const auto reference = test::ReferenceHarness();
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    if (row.kind == AlgorithmKind::kAead) continue;
    EXPECT_FALSE(reference->engine()->Supports(row, nullptr)) << row.name;
  }
}

}  // namespace
}  // namespace cygnet
