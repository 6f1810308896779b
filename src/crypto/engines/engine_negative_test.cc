// Every engine against damaged packets: no forgery opens, no byte of it is released, and good
// packets in the same batch are not disturbed.
#include "support/engine_conformance.h"
#include "support/hex.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::EspBytes;
using test::Keys;
using test::Sessions;
using test::Suite;
using test::ToHex;

constexpr std::size_t kBatch = 32;

class NegativeConformance : public test::EngineTest {
 protected:
  // A sealed packet of `payload` bytes and its inputs.
  struct Sealed {
    EspBytes packet;
    Bytes plain;
  };
  Sealed Seal(const Suite& suite, CryptoSession* session, std::size_t payload,
              EspBytes::Esn esn = EspBytes::Esn::kYes) {
    EspBytes packet(suite, payload, 0, esn, &random_);
    Bytes plain(packet.text().begin(), packet.text().end());
    EXPECT_EQ(harness_->Run(packet.Job(session, CryptoDirection::kSeal)), CryptoStatus::kOk);
    return {std::move(packet), std::move(plain)};
  }

  // The text must be wiped or untouched. Text that was never encrypted cannot be released.
  static bool NothingReleased(const Suite& suite, std::span<const uint8_t> before,
                              std::span<const uint8_t> after) {
    if (!suite.encrypts()) return true;
    return std::equal(before.begin(), before.end(), after.begin()) ||
           std::all_of(after.begin(), after.end(), [](uint8_t b) { return b == 0; });
  }

  // Opens the damaged copies in one batch, with a good packet among them.
  void ExpectForged(const Suite& suite, CryptoSession* session, const Sealed& good,
                    std::vector<EspBytes> damaged) {
    const std::vector<EspBytes> before = damaged;
    EspBytes fine = good.packet;
    std::vector<CryptoJob> jobs;
    for (EspBytes& packet : damaged) jobs.push_back(packet.Job(session, CryptoDirection::kOpen));
    const std::size_t middle = jobs.size() / 2;
    jobs.insert(jobs.begin() + static_cast<int>(middle), fine.Job(session, CryptoDirection::kOpen));
    harness_->Run(jobs);
    EXPECT_EQ(jobs[middle].status, CryptoStatus::kOk);
    EXPECT_EQ(ToHex(fine.text()), ToHex(good.plain));
    jobs.erase(jobs.begin() + static_cast<int>(middle));
    for (std::size_t i = 0; i < damaged.size(); ++i) {
      EspBytes untouched = before[i];
      EXPECT_EQ(jobs[i].status, CryptoStatus::kAuthFailed) << i;
      EXPECT_TRUE(NothingReleased(suite, untouched.text(), damaged[i].text())) << i;
      EXPECT_TRUE(std::ranges::equal(untouched.icv(), damaged[i].icv())) << i;
      EXPECT_TRUE(damaged[i].FencesStand()) << i;
    }
  }

  template <typename Fn>
  void ForEachSuite(Fn check) {
    for (const Suite& suite : Suites()) {
      SCOPED_TRACE(suite.name());
      const Keys keys(suite, &random_);
      const Sessions sessions = harness_->MakeSessions(suite, keys);
      check(suite, sessions);
      if (HasFailure()) return;
    }
  }

  std::mt19937 random_{8221};
};

// Flips every bit of SPI, sequence number, IV, text and ICV.
TEST_P(NegativeConformance, EverySingleFlippedBitIsCaught) {
  ForEachSuite([this](const Suite& suite, const Sessions& sessions) {
    Sealed sealed = Seal(suite, sessions.seal.get(), 20);
    std::vector<EspBytes> damaged;
    const std::size_t bits = sealed.packet.packet().size() * 8;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      EspBytes packet = sealed.packet;
      uint8_t& byte = packet.packet()[bit / 8];
      byte = static_cast<uint8_t>(byte ^ (1u << (bit % 8)));
      damaged.push_back(std::move(packet));
      if (damaged.size() < kBatch && bit + 1 < bits) continue;
      SCOPED_TRACE("up to bit " + std::to_string(bit));
      ExpectForged(suite, sessions.open.get(), sealed, std::exchange(damaged, {}));
    }
  });
}

TEST_P(NegativeConformance, LongPacketsWithDamagedEndsAreCaught) {
  ForEachSuite([this](const Suite& suite, const Sessions& sessions) {
    Sealed sealed = Seal(suite, sessions.seal.get(), 1440);
    std::vector<EspBytes> damaged(3, sealed.packet);
    damaged[0].text()[0] ^= 0x80;
    damaged[1].text()[damaged[1].text().size() - 1] ^= 0x01;
    damaged[2].text()[700] ^= 0x10;
    ExpectForged(suite, sessions.open.get(), sealed, std::move(damaged));
  });
}

TEST_P(NegativeConformance, WrongOrMissingSequenceHighIsCaught) {
  ForEachSuite([this](const Suite& suite, const Sessions& sessions) {
    Sealed sealed = Seal(suite, sessions.seal.get(), 64);
    std::vector<EspBytes> damaged;
    for (uint32_t bit = 0; bit < 32; ++bit) {
      damaged.push_back(sealed.packet);
      damaged.back().esn_high ^= 1u << bit;
    }
    ExpectForged(suite, sessions.open.get(), sealed, std::move(damaged));
    EspBytes without = sealed.packet;
    without.set_esn(EspBytes::Esn::kNo);
    ExpectForged(suite, sessions.open.get(), sealed, {without});
  });
}

TEST_P(NegativeConformance, ShortAndWipedIcvIsCaught) {
  ForEachSuite([this](const Suite& suite, const Sessions& sessions) {
    Sealed sealed = Seal(suite, sessions.seal.get(), 64);
    std::vector<EspBytes> damaged;
    for (std::size_t kept = 0; kept < suite.icv_bytes; ++kept) {
      EspBytes packet = sealed.packet;
      const auto lost = packet.icv().subspan(kept);
      if (std::ranges::all_of(lost, [](uint8_t b) { return b == 0; })) continue;
      std::ranges::fill(lost, uint8_t{0});
      damaged.push_back(std::move(packet));
    }
    ExpectForged(suite, sessions.open.get(), sealed, std::move(damaged));
  });
}

TEST_P(NegativeConformance, AnotherKeyOpensNothing) {
  ForEachSuite([this](const Suite& suite, const Sessions& sessions) {
    const Keys other_keys(suite, &random_);
    const Sessions other = harness_->MakeSessions(suite, other_keys);
    Sealed sealed = Seal(suite, sessions.seal.get(), 64);
    EspBytes packet = sealed.packet;
    EXPECT_EQ(harness_->Run(packet.Job(other.open.get(), CryptoDirection::kOpen)),
              CryptoStatus::kAuthFailed);
    EXPECT_TRUE(NothingReleased(suite, sealed.packet.text(), packet.text()));
  });
}

TEST_P(NegativeConformance, EmptyTextSealsOpensAndIsProtected) {
  ForEachSuite([this](const Suite& suite, const Sessions& sessions) {
    Sealed sealed = Seal(suite, sessions.seal.get(), 0);
    ASSERT_EQ(sealed.packet.text().size(), 0u);
    EspBytes damaged = sealed.packet;
    damaged.packet()[3] ^= 1;
    ExpectForged(suite, sessions.open.get(), sealed, {damaged});
  });
}

// A peer with the keys may still send a length that the cipher cannot produce.
TEST_P(NegativeConformance, RaggedTextWithAGoodIcvIsAnError) {
  const auto* null_cipher = FindAlgorithm(AlgorithmKind::kCipher, "ecb(cipher_null)");
  const auto reference = test::ReferenceHarness();
  ForEachSuite([&](const Suite& suite, const Sessions&) {
    if (suite.cipher->block_bytes == 1) return;
    const Keys keys(suite, &random_);
    const auto open = harness_->Session(suite, keys, CryptoDirection::kOpen);
    Keys mac_keys = keys;
    mac_keys.key.clear();
    const Suite mac_only{null_cipher, suite.auth, 0, suite.icv_bytes};
    const auto mac = reference->Session(mac_only, mac_keys, CryptoDirection::kSeal);
    for (const uint32_t length : {1u, 7u, 31u, 33u, 63u}) {
      Bytes text = test::RandomBytes(&random_, length + suite.icv_bytes);
      CryptoJob job;
      job.session = mac.get();
      job.text = text.data();
      job.text_length = length;
      job.icv = text.data() + length;
      job.auth_begin = text.data();
      ASSERT_EQ(reference->Run(job), CryptoStatus::kOk);
      const Bytes before = text;
      job.session = open.get();
      EXPECT_EQ(harness_->Run(job), CryptoStatus::kError) << length;
      const auto end = static_cast<std::ptrdiff_t>(length);
      EXPECT_TRUE(NothingReleased(suite, {before.data(), length}, {text.data(), length}));
      EXPECT_TRUE(std::equal(before.begin() + end, before.end(), text.begin() + end));
    }
  });
}

TEST_P(NegativeConformance, RaggedTextIsNotSealed) {
  ForEachSuite([this](const Suite& suite, const Sessions& sessions) {
    if (suite.cipher->block_bytes == 1) return;
    EspBytes packet(suite, 64, 0, EspBytes::Esn::kNo, &random_);
    CryptoJob job = packet.Job(sessions.seal.get(), CryptoDirection::kSeal);
    job.text_length -= 1;
    EXPECT_EQ(harness_->Run(job), CryptoStatus::kError);
    job.text_length = 0;  // not even the IV
    EXPECT_EQ(harness_->Run(job), CryptoStatus::kError);
  });
}

TEST_P(NegativeConformance, LengthsOutsideTheTableMakeNoSession) {
  for (const Suite& suite : Suites()) {
    SCOPED_TRACE(suite.name());
    const Keys keys(suite, &random_);
    const SessionParams good{.cipher = suite.cipher,
                             .key = keys.key,
                             .auth = suite.auth,
                             .auth_key = keys.auth_key,
                             .icv_bytes = suite.icv_bytes};
    const auto refused = [this](SessionParams params) {
      return !harness_->engine()->CreateSession(params).has_value();
    };
    ASSERT_FALSE(refused(good));
    const Bytes long_key(suite.key_bytes + 1);
    SessionParams bad = good;
    bad.key = long_key;
    EXPECT_TRUE(refused(bad));
    if (suite.key_bytes != 0) {
      bad.key = good.key.first(suite.key_bytes - 1);
      EXPECT_TRUE(refused(bad));
    }
    for (const uint8_t icv : {uint8_t{0}, uint8_t{65}, uint8_t{255}}) {
      bad = good;
      bad.icv_bytes = icv;
      EXPECT_TRUE(refused(bad)) << int{icv};
    }
    bad = good;
    bad.auth_key = {};
    EXPECT_EQ(refused(bad), suite.auth != nullptr);
    bad = good;
    bad.queues = kMaxCryptoQueues + 1;
    EXPECT_TRUE(refused(bad));
    bad.queues = 0;
    EXPECT_TRUE(refused(bad));
  }
}

CYGNET_OVER_EVERY_ENGINE(NegativeConformance);

}  // namespace
}  // namespace cygnet
