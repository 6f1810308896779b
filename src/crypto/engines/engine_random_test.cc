// Every engine against the reference engine: random suites, lengths and alignments, many SAs in one
// batch, two threads in one session; and no allocation per job.
#include <thread>

#include "support/alloc_guard.h"
#include "support/engine_conformance.h"
#include "support/hex.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::EspBytes;
using test::Harness;
using test::Keys;
using test::Sessions;
using test::Suite;
using test::ToHex;

constexpr std::size_t kMaxPayload = 9000;
constexpr std::size_t kMaxShift = 63;

EspBytes::Esn SomeEsn(std::mt19937* random) {
  return (*random)() % 2 != 0 ? EspBytes::Esn::kYes : EspBytes::Esn::kNo;
}

CryptoStatus RunOne(Harness* harness, EspBytes* packet, CryptoSession* session,
                    CryptoDirection direction) {
  return harness->Run(packet->Job(session, direction));
}

class RandomConformance : public test::EngineTest {
 protected:
  std::mt19937 random_{20161206};
};

// Both seal to the same bytes; each opens what the other sealed.
TEST_P(RandomConformance, AgreesWithTheReferenceEngine) {
  const auto reference = test::ReferenceHarness();
  for (const Suite& suite : Suites()) {
    SCOPED_TRACE(suite.name());
    const Keys keys(suite, &random_);
    const Sessions mine = harness_->MakeSessions(suite, keys);
    const Sessions theirs = reference->MakeSessions(suite, keys);
    for (int round = 0; round < 40; ++round) {
      const std::size_t payload = round < 20 ? random_() % 300 : random_() % (kMaxPayload + 1);
      EspBytes a(suite, payload, random_() % (kMaxShift + 1), SomeEsn(&random_), &random_);
      EspBytes b = a;
      const Bytes plain(a.text().begin(), a.text().end());
      ASSERT_EQ(RunOne(harness_.get(), &a, mine.seal.get(), CryptoDirection::kSeal),
                CryptoStatus::kOk);
      ASSERT_EQ(RunOne(reference.get(), &b, theirs.seal.get(), CryptoDirection::kSeal),
                CryptoStatus::kOk);
      ASSERT_TRUE(std::ranges::equal(a.packet(), b.packet())) << "payload " << payload;
      ASSERT_EQ(RunOne(reference.get(), &a, theirs.open.get(), CryptoDirection::kOpen),
                CryptoStatus::kOk);
      ASSERT_EQ(RunOne(harness_.get(), &b, mine.open.get(), CryptoDirection::kOpen),
                CryptoStatus::kOk);
      ASSERT_TRUE(std::ranges::equal(a.text(), plain)) << "payload " << payload;
      ASSERT_TRUE(std::ranges::equal(b.text(), plain)) << "payload " << payload;
      ASSERT_TRUE(a.FencesStand() && b.FencesStand());
    }
  }
}

// All lengths in one batch, to cover the edges of a kernel's chunks, lanes and partial blocks.
TEST_P(RandomConformance, EveryLengthAgreesWithTheReferenceEngine) {
  constexpr std::size_t kEach = 1100;
  constexpr std::size_t kShort = 25;  // multiples of four, as in ESP, side by side
  constexpr std::size_t kMixed = kEach + 4 * kShort;
  constexpr std::size_t kLong = 42;  // in steps, to 2048, which is what a kernel's tables serve
  constexpr std::size_t kLengths = kMixed + kLong;
  const auto length_of = [](std::size_t n) {
    if (n >= kMixed) return 1064 + (n - kMixed) * 24;
    return n < kEach ? n : (n - kEach) % kShort * 4;
  };
  const auto reference = test::ReferenceHarness();
  for (const Suite& suite : Suites()) {
    if (suite.auth != nullptr || suite.icv_bytes != 16) continue;
    SCOPED_TRACE(suite.name());
    const Keys keys(suite, &random_);
    const Sessions mine = harness_->MakeSessions(suite, keys);
    const Sessions theirs = reference->MakeSessions(suite, keys);
    std::vector<EspBytes> plain;
    for (std::size_t n = 0; n < kLengths; ++n) {
      plain.emplace_back(suite, length_of(n), random_() % (kMaxShift + 1), EspBytes::Esn::kYes,
                         &random_);
    }
    std::vector<EspBytes> a = plain;
    std::vector<EspBytes> b = plain;
    const auto run = [](Harness* harness, std::vector<EspBytes>* packets, CryptoSession* session,
                        CryptoDirection direction) {
      std::vector<CryptoJob> jobs;
      for (EspBytes& packet : *packets) jobs.push_back(packet.Job(session, direction));
      harness->Run(jobs);
      for (std::size_t n = 0; n < jobs.size(); ++n) {
        ASSERT_EQ(jobs[n].status, CryptoStatus::kOk) << n;
      }
    };
    run(harness_.get(), &a, mine.seal.get(), CryptoDirection::kSeal);
    run(reference.get(), &b, theirs.seal.get(), CryptoDirection::kSeal);
    for (std::size_t n = 0; n < kLengths; ++n) {
      ASSERT_TRUE(std::ranges::equal(a[n].packet(), b[n].packet())) << "packet " << n;
    }
    run(harness_.get(), &b, mine.open.get(), CryptoDirection::kOpen);
    for (std::size_t n = 0; n < kLengths; ++n) {
      ASSERT_TRUE(std::ranges::equal(b[n].text(), plain[n].text())) << "packet " << n;
      ASSERT_TRUE(a[n].FencesStand() && b[n].FencesStand()) << n;
    }
  }
}

// Runs of packets of one length and one of two SAs, as an engine may process them together. When
// they are opened, every fifth is forged, and its neighbours must not suffer.
TEST_P(RandomConformance, RunsOfOneLengthAgreeWithTheReferenceEngine) {
  constexpr std::size_t kEach = 120;  // then in steps, up to what a kernel's tables serve and more
  constexpr std::size_t kLongest = 2049;
  constexpr std::size_t kLengths = kEach + 40 + 3;  // the last three: to kLongest
  constexpr std::size_t kRun = 9;
  const auto reference = test::ReferenceHarness();
  for (const Suite& suite : Suites()) {
    if (suite.auth != nullptr) continue;
    SCOPED_TRACE(suite.name());
    std::vector<Sessions> mine;
    std::vector<Sessions> theirs;
    for (int sa = 0; sa < 2; ++sa) {
      const Keys keys(suite, &random_);
      mine.push_back(harness_->MakeSessions(suite, keys));
      theirs.push_back(reference->MakeSessions(suite, keys));
    }
    std::vector<EspBytes> plain;
    for (std::size_t n = 0; n < kLengths * kRun; ++n) {
      const std::size_t step = n / kRun;
      const std::size_t in_steps = kEach + (step - kEach) * 51;
      const std::size_t length = step < kEach          ? step
                                 : step < kLengths - 3 ? in_steps
                                                       : kLongest + step + 1 - kLengths;
      plain.emplace_back(suite, length, random_() % (kMaxShift + 1), SomeEsn(&random_), &random_);
    }
    std::vector<EspBytes> a = plain;
    std::vector<EspBytes> b = plain;
    const auto run = [](Harness* harness, std::vector<EspBytes>* packets,
                        const std::vector<Sessions>& sas, CryptoDirection direction) {
      const bool seal = direction == CryptoDirection::kSeal;
      std::vector<CryptoJob> jobs;
      for (std::size_t n = 0; n < packets->size(); ++n) {
        const Sessions& sa = sas[n / kRun % 2];
        jobs.push_back((*packets)[n].Job(seal ? sa.seal.get() : sa.open.get(), direction));
      }
      harness->Run(jobs);
      return jobs;
    };
    run(harness_.get(), &a, mine, CryptoDirection::kSeal);
    run(reference.get(), &b, theirs, CryptoDirection::kSeal);
    for (std::size_t n = 0; n < a.size(); ++n) {
      ASSERT_TRUE(std::ranges::equal(a[n].packet(), b[n].packet())) << "packet " << n;
      if (n % 5 == 0) b[n].icv().back() ^= 1;
    }
    const auto opened = run(harness_.get(), &b, mine, CryptoDirection::kOpen);
    for (std::size_t n = 0; n < b.size(); ++n) {
      const bool forged = n % 5 == 0;
      ASSERT_EQ(opened[n].status, forged ? CryptoStatus::kAuthFailed : CryptoStatus::kOk) << n;
      ASSERT_TRUE(forged || std::ranges::equal(b[n].text(), plain[n].text())) << n;
      ASSERT_TRUE(a[n].FencesStand() && b[n].FencesStand()) << n;
    }
  }
}

TEST_P(RandomConformance, EveryAlignmentGivesTheSameBytes) {
  for (const Suite& suite : Suites()) {
    SCOPED_TRACE(suite.name());
    const Keys keys(suite, &random_);
    const Sessions sessions = harness_->MakeSessions(suite, keys);
    const EspBytes plain(suite, 100, 0, EspBytes::Esn::kYes, &random_);
    std::string expected;
    for (std::size_t shift = 0; shift <= kMaxShift; ++shift) {
      EspBytes packet = plain;
      packet.MoveTo(shift);
      ASSERT_EQ(RunOne(harness_.get(), &packet, sessions.seal.get(), CryptoDirection::kSeal),
                CryptoStatus::kOk);
      if (shift == 0) expected = ToHex(packet.packet());
      ASSERT_EQ(ToHex(packet.packet()), expected) << shift;
      ASSERT_TRUE(packet.FencesStand()) << shift;
    }
  }
}

// XFRMA_ALG_AUTH_TRUNC may request any length. An engine supports it or returns an error.
TEST_P(RandomConformance, AnyTruncatedIcvIsTheFrontOfTheWholeOne) {
  const auto reference = test::ReferenceHarness();
  int refused = 0;
  for (Suite suite : Suites()) {
    if (suite.auth == nullptr || suite.icv_bytes != suite.auth->icv_bytes[0]) continue;
    const Keys keys(suite, &random_);
    const Sessions whole = reference->MakeSessions(suite, keys);
    for (; suite.icv_bytes > 0; --suite.icv_bytes) {
      SCOPED_TRACE(suite.name());
      const SessionParams params{.cipher = suite.cipher,
                                 .key = keys.key,
                                 .auth = suite.auth,
                                 .auth_key = keys.auth_key,
                                 .icv_bytes = suite.icv_bytes};
      const auto seal = harness_->engine()->CreateSession(params);
      if (!seal.has_value()) {
        ASSERT_EQ(seal.error().code, Errc::kNotSupported);
        ASSERT_LT(suite.icv_bytes, 4);  // nobody should use such a short ICV
        ++refused;
        continue;
      }
      EspBytes packet(suite, 77, 1, EspBytes::Esn::kYes, &random_);
      Bytes all(packet.packet().begin(), packet.packet().end());
      all.resize(all.size() - suite.icv_bytes + suite.auth->icv_bytes[0]);
      CryptoJob job = packet.Job(seal->get(), CryptoDirection::kSeal);
      CryptoJob expected = job;
      expected.session = whole.seal.get();
      expected.auth_begin = all.data();
      expected.text = all.data() + (job.text - packet.esp());
      expected.icv = expected.text + job.text_length;
      ASSERT_EQ(harness_->Run(job), CryptoStatus::kOk);
      ASSERT_EQ(reference->Run(expected), CryptoStatus::kOk);
      ASSERT_TRUE(
          std::ranges::equal(packet.packet(), std::span(all).first(packet.packet().size())));
      ASSERT_TRUE(packet.FencesStand());
    }
  }
  const std::string_view name = GetParam()->name;
  if (name.find("ipsec_mb") == name.npos && name.find("crypto_") == name.npos) {
    EXPECT_EQ(refused, 0);
  }
}

// As on a busy gateway: a batch with packets of many SAs, seal and open, in any order.
TEST_P(RandomConformance, MixedBatchesOfManySasComeOutRight) {
  const auto reference = test::ReferenceHarness();
  struct Sa {
    Suite suite;
    Sessions mine;
    Sessions theirs;
  };
  std::vector<Sa> sas;
  for (const Suite& suite : Suites()) {
    const Keys keys(suite, &random_);
    sas.push_back(
        {suite, harness_->MakeSessions(suite, keys), reference->MakeSessions(suite, keys)});
  }
  for (int round = 0; round < 30; ++round) {
    std::vector<EspBytes> packets;
    std::vector<std::string> expected;
    std::vector<CryptoJob> jobs;
    const std::size_t batch = 1 + random_() % 200;
    packets.reserve(batch);
    for (std::size_t i = 0; i < batch; ++i) {
      Sa& sa = sas[random_() % sas.size()];
      EspBytes packet(sa.suite, random_() % 1500, random_() % 64, SomeEsn(&random_), &random_);
      EspBytes sealed = packet;
      ASSERT_EQ(RunOne(reference.get(), &sealed, sa.theirs.seal.get(), CryptoDirection::kSeal),
                CryptoStatus::kOk);
      const bool open = random_() % 2 != 0;
      packets.push_back(open ? sealed : packet);
      if (open) {
        ASSERT_EQ(RunOne(reference.get(), &sealed, sa.theirs.open.get(), CryptoDirection::kOpen),
                  CryptoStatus::kOk);
      }
      expected.push_back(ToHex(sealed.packet()));
      jobs.push_back(packets.back().Job(open ? sa.mine.open.get() : sa.mine.seal.get(),
                                        open ? CryptoDirection::kOpen : CryptoDirection::kSeal));
    }
    harness_->Run(jobs);
    for (std::size_t i = 0; i < batch; ++i) {
      ASSERT_EQ(jobs[i].status, CryptoStatus::kOk) << i;
      ASSERT_EQ(ToHex(packets[i].packet()), expected[i]) << i;
    }
  }
}

// SessionParams::queues: two threads use one session at once.
TEST_P(RandomConformance, TwoThreadsShareASession) {
  CryptoEngine* engine = harness_->engine();
  for (const Suite& suite : Suites()) {
    if (suite.icv_bytes < 12) continue;
    SCOPED_TRACE(suite.name());
    const Keys keys(suite, &random_);
    SessionParams params{.cipher = suite.cipher,
                         .key = keys.key,
                         .auth = suite.auth,
                         .auth_key = keys.auth_key,
                         .icv_bytes = suite.icv_bytes,
                         .queues = 2};
    auto seal = engine->CreateSession(params);
    params.direction = CryptoDirection::kOpen;
    auto open = engine->CreateSession(params);
    ASSERT_TRUE(seal.has_value() && open.has_value());
    std::array<int, 2> wrong{};
    const auto work = [&](uint32_t number) {
      std::mt19937 random(number);
      Harness harness(engine, number);
      for (int i = 0; i < 20; ++i) {
        EspBytes packet(suite, random() % 400, 0, SomeEsn(&random), &random);
        const std::string plain = ToHex(packet.text());
        wrong[number] +=
            RunOne(&harness, &packet, seal->get(), CryptoDirection::kSeal) != CryptoStatus::kOk ||
            RunOne(&harness, &packet, open->get(), CryptoDirection::kOpen) != CryptoStatus::kOk ||
            ToHex(packet.text()) != plain;
      }
    };
    std::thread other(work, 1);
    work(0);
    other.join();
    EXPECT_EQ(wrong[0] + wrong[1], 0);
  }
}

TEST_P(RandomConformance, NoJobAllocates) {
  if (GetParam() == &test::kFipsEngine) {
    GTEST_SKIP() << "the provider's HMAC and CCM allocate (cygnet-fips(7))";
  }
  if (GetParam()->name == "crypto_openssl") {
    GTEST_SKIP() << "this device of DPDK makes OpenSSL contexts for each job";
  }
  for (const Suite& suite : Suites()) {
    SCOPED_TRACE(suite.name());
    const Keys keys(suite, &random_);
    const Sessions sessions = harness_->MakeSessions(suite, keys);
    std::vector<EspBytes> packets(40, EspBytes(suite, 500, 0, EspBytes::Esn::kYes, &random_));
    std::vector<CryptoJob> jobs(packets.size());
    for (int round = 0; round < 3; ++round) {  // the first warms up
      const test::AllocGuard guard;
      for (const CryptoDirection direction : {CryptoDirection::kSeal, CryptoDirection::kOpen}) {
        const bool seal = direction == CryptoDirection::kSeal;
        for (std::size_t i = 0; i < packets.size(); ++i) {
          if (!seal && i % 2 != 0) packets[i].icv()[0] ^= 1;
          jobs[i] = packets[i].Job(seal ? sessions.seal.get() : sessions.open.get(), direction);
        }
        harness_->Run(jobs);
      }
      ASSERT_EQ(jobs[0].status, CryptoStatus::kOk);
      ASSERT_EQ(jobs[1].status, CryptoStatus::kAuthFailed);
      if (round == 0) continue;
      EXPECT_EQ(guard.allocations(), 0u);
    }
  }
}

CYGNET_OVER_EVERY_ENGINE(RandomConformance);

}  // namespace
}  // namespace cygnet
