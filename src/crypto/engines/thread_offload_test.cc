// The look-aside device: order, back-pressure, and every fault it can simulate.
#include "crypto/engines/thread_offload.h"

#include <poll.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "support/engine_conformance.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::EspBytes;
using test::Keys;
using test::Suite;

constexpr std::size_t kPayload = 200;

class ThreadOffloadTest : public testing::Test {
 protected:
  void Make(const EngineOptions& options) {
    engine_ = std::make_unique<ThreadOffloadEngine>(options);
    queue_ = engine_->CreateQueue(0);
  }
  ~ThreadOffloadTest() override { queue_.reset(); }

  Result<std::unique_ptr<CryptoSession>> TrySession() {
    return engine_->CreateSession(
        {.cipher = suite_.cipher, .key = keys_.key, .icv_bytes = suite_.icv_bytes});
  }
  CryptoSession* Session() {
    auto session = TrySession();
    EXPECT_TRUE(session.has_value());
    sessions_.push_back(*std::move(session));
    return sessions_.back().get();
  }

  // Gives every job its own packet; `tag` identifies it.
  void Prepare(std::size_t count, CryptoSession* session, std::size_t payload = kPayload) {
    for (std::size_t i = 0; i < count; ++i) {
      packets_.push_back(
          std::make_unique<EspBytes>(suite_, payload, 0, EspBytes::Esn::kYes, &random_));
      plain_.emplace_back(packets_.back()->text().begin(), packets_.back()->text().end());
      jobs_.push_back(packets_.back()->Job(session, CryptoDirection::kSeal));
      jobs_.back().tag = static_cast<uint32_t>(jobs_.size() - 1);
    }
  }
  bool Untouched(uint32_t tag) const {
    return std::ranges::equal(packets_[tag]->text(), plain_[tag]);
  }

  // Jobs from Poll, until there are `count` or none arrived for ten seconds.
  std::vector<CryptoJob> Collect(std::size_t count) {
    std::vector<CryptoJob> got;
    std::array<CryptoJob, 16> done;
    while (got.size() < count) {
      const std::size_t n = queue_->Poll(done);
      got.insert(got.end(), done.begin(), done.begin() + static_cast<std::ptrdiff_t>(n));
      if (n == 0 && !WaitForJobs()) break;
    }
    return got;
  }
  // Sleeps as a worker does.
  bool WaitForJobs() {
    bool woken = true;
    if (queue_->PrepareWait()) {
      pollfd fd = {queue_->wait_fd(), POLLIN, 0};
      woken = poll(&fd, 1, 10000) > 0;
    }
    queue_->FinishWait();
    return woken;
  }
  bool NothingComes() {
    std::array<CryptoJob, 1> done;
    return queue_->Poll(done) == 0;
  }

  std::mt19937 random_{7};
  const Suite suite_{FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"), nullptr, 20, 16};
  const Keys keys_{suite_, &random_};
  std::unique_ptr<ThreadOffloadEngine> engine_;
  std::unique_ptr<CryptoQueue> queue_;
  std::vector<std::unique_ptr<CryptoSession>> sessions_;
  std::vector<std::unique_ptr<EspBytes>> packets_;
  std::vector<Bytes> plain_;
  std::vector<CryptoJob> jobs_;
};

TEST_F(ThreadOffloadTest, JobsFinishLaterAndKeepWhatTheirOwnerWroteInThem) {
  Make({});
  CryptoSession* session = Session();
  Prepare(3, session);
  for (CryptoJob& job : jobs_) job.index = static_cast<uint16_t>(job.tag + 100);
  ASSERT_EQ(queue_->Submit(jobs_), 3u);
  for (const CryptoJob& job : jobs_) EXPECT_EQ(job.status, CryptoStatus::kPending);
  const auto done = Collect(3);
  ASSERT_EQ(done.size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(done[i].status, CryptoStatus::kOk);
    EXPECT_EQ(done[i].session, session);
    EXPECT_EQ(done[i].tag, i);
    EXPECT_EQ(done[i].index, i + 100);
    EXPECT_FALSE(Untouched(i));
  }
}

TEST_F(ThreadOffloadTest, OrderHoldsWithinEverySession) {
  Make({.threads = 2, .queue_depth = 512});
  std::vector<CryptoSession*> sas;
  for (int i = 0; i < 5; ++i) sas.push_back(Session());
  for (int i = 0; i < 400; ++i) Prepare(1, sas[random_() % sas.size()], random_() % 2000);
  ASSERT_EQ(queue_->Submit(jobs_), jobs_.size());
  const auto done = Collect(jobs_.size());
  ASSERT_EQ(done.size(), jobs_.size());
  std::map<CryptoSession*, int64_t> last;
  for (const CryptoJob& job : done) {
    const auto [it, first] = last.try_emplace(job.session, -1);
    EXPECT_LT(it->second, int64_t{job.tag});
    it->second = job.tag;
  }
  EXPECT_EQ(last.size(), 5u);
}

// Long jobs of one SA, then a short one of another on a second thread: the short one overtakes. The
// scheduler decides whether that happens at the first try.
TEST_F(ThreadOffloadTest, SessionsOvertakeEachOther) {
  Make({.threads = 2, .queue_depth = 64});
  CryptoSession* slow = Session();
  CryptoSession* quick = Session();
  Prepare(63, slow, 60000);
  Prepare(1, quick, 16);
  bool overtaken = false;
  for (int attempt = 0; attempt < 1000 && !overtaken; ++attempt) {
    ASSERT_EQ(queue_->Submit(jobs_), 64u);
    const auto done = Collect(64);
    ASSERT_EQ(done.size(), 64u);
    overtaken = done.back().session == slow;
  }
  EXPECT_TRUE(overtaken);
}

TEST_F(ThreadOffloadTest, AFullQueueTakesWhatFits) {
  Make({.queue_depth = 10});
  engine_->Stall(true);
  Prepare(25, Session());
  EXPECT_EQ(queue_->Submit(std::span(jobs_).first(7)), 7u);
  EXPECT_EQ(queue_->Submit(std::span(jobs_).subspan(7, 8)), 3u);
  EXPECT_EQ(queue_->Submit(std::span(jobs_).subspan(10)), 0u);
  EXPECT_EQ(engine_->stats().refused, 5u + 15u);
  EXPECT_EQ(engine_->stats().in_flight, 10u);
  EXPECT_TRUE(NothingComes());
  engine_->Stall(false);
  EXPECT_EQ(Collect(10).size(), 10u);
  EXPECT_EQ(queue_->Submit(std::span(jobs_).subspan(10)), 10u);  // room again
  EXPECT_EQ(Collect(10).size(), 10u);
  EXPECT_EQ(engine_->stats().jobs, 20u);
  EXPECT_EQ(engine_->stats().in_flight, 0u);
}

// Every queue has its own depth and gets only its own jobs back.
TEST_F(ThreadOffloadTest, QueuesDoNotMix) {
  Make({.threads = 2, .queue_depth = 8});
  auto other = engine_->CreateQueue(1);
  engine_->Stall(true);
  Prepare(16, Session());
  EXPECT_EQ(queue_->Submit(std::span(jobs_).first(8)), 8u);
  EXPECT_EQ(other->Submit(std::span(jobs_).last(8)), 8u);
  engine_->Stall(false);
  for (const CryptoJob& job : Collect(8)) EXPECT_LT(job.tag, 8u);
  std::swap(queue_, other);
  const auto mine = Collect(8);
  ASSERT_EQ(mine.size(), 8u);
  for (const CryptoJob& job : mine) EXPECT_GE(job.tag, 8u);
}

TEST_F(ThreadOffloadTest, ADeviceGoingDownGivesEveryJobBackOnceAndUntouched) {
  Make({.threads = 2, .queue_depth = 64});
  engine_->Stall(true);
  Prepare(20, Session());
  Prepare(20, Session());
  ASSERT_EQ(queue_->Submit(jobs_), 40u);
  engine_->SetDown(true);
  const auto done = Collect(40);
  ASSERT_EQ(done.size(), 40u);
  std::set<uint32_t> tags;
  for (const CryptoJob& job : done) {
    EXPECT_EQ(job.status, CryptoStatus::kNotDone);
    EXPECT_TRUE(Untouched(job.tag));
    tags.insert(job.tag);
  }
  EXPECT_EQ(tags.size(), 40u);
  EXPECT_TRUE(NothingComes());
  EXPECT_EQ(engine_->stats().not_done, 40u);
  EXPECT_EQ(engine_->stats().jobs, 0u);
}

TEST_F(ThreadOffloadTest, ADownDeviceTakesNothingAndComesBack) {
  Make({});
  Prepare(4, Session());
  engine_->SetDown(true);
  EXPECT_EQ(queue_->Submit(jobs_), 0u);
  EXPECT_EQ(engine_->stats().refused, 4u);
  const auto refused = TrySession();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kNetworkDown);
  EXPECT_FALSE(refused.error().message.empty());
  engine_->SetDown(false);
  EXPECT_TRUE(TrySession().has_value());
  EXPECT_EQ(queue_->Submit(jobs_), 4u);
  for (const CryptoJob& job : Collect(4)) EXPECT_EQ(job.status, CryptoStatus::kOk);
}

// The device fails repeatedly under load: no job is lost, duplicated or half done.
TEST_F(ThreadOffloadTest, FlappingUnderLoadLosesNoJob) {
  Make({.threads = 2, .queue_depth = 32});
  CryptoSession* sas[] = {Session(), Session(), Session()};
  for (int i = 0; i < 3000; ++i) Prepare(1, sas[i % 3], 64);
  std::atomic<bool> stop{false};
  std::thread saboteur([&] {
    for (uint32_t i = 0; !stop.load(); ++i) {
      engine_->SetDown(i % 2 == 0);
      engine_->Stall(i % 3 == 0);
      std::this_thread::yield();
    }
  });
  std::vector<int> seen(jobs_.size());
  int not_done = 0;
  int wrong = 0;
  std::array<CryptoJob, 16> done;
  std::size_t back = 0;
  for (std::size_t sent = 0; back < jobs_.size();) {
    sent += queue_->Submit(std::span(jobs_).subspan(sent));
    const std::size_t n = queue_->Poll(done);
    back += n;
    for (const CryptoJob& job : std::span(done).first(n)) {
      ++seen[job.tag];
      not_done += job.status == CryptoStatus::kNotDone;
      wrong += job.status == CryptoStatus::kNotDone ? !Untouched(job.tag)
                                                    : job.status != CryptoStatus::kOk;
      wrong += job.status == CryptoStatus::kOk && Untouched(job.tag);
    }
  }
  stop = true;
  saboteur.join();
  EXPECT_EQ(std::ranges::count(seen, 1), static_cast<std::ptrdiff_t>(jobs_.size()));
  EXPECT_EQ(wrong, 0);
  const EngineStats stats = engine_->stats();
  EXPECT_EQ(stats.not_done, static_cast<uint64_t>(not_done));
  EXPECT_EQ(stats.jobs + stats.not_done, jobs_.size());
  EXPECT_EQ(stats.in_flight, 0u);
}

TEST_F(ThreadOffloadTest, HoldsAsManySessionsAsItSays) {
  Make({.session_limit = 2});
  auto first = TrySession();
  const auto second = TrySession();
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(engine_->stats().sessions, 2u);
  EXPECT_EQ(engine_->stats().session_limit, 2u);
  const auto third = TrySession();
  ASSERT_FALSE(third.has_value());
  EXPECT_EQ(third.error().code, Errc::kNoSpace);
  EXPECT_NE(third.error().message.find("2 sessions"), std::string::npos);
  first->reset();
  EXPECT_TRUE(TrySession().has_value());
}

TEST_F(ThreadOffloadTest, ARefusedKeyTakesNoSessionSlot) {
  Make({.session_limit = 1});
  const Bytes short_key(19);
  EXPECT_FALSE(engine_->CreateSession({.cipher = suite_.cipher, .key = short_key, .icv_bytes = 16})
                   .has_value());
  EXPECT_EQ(engine_->stats().sessions, 0u);
  EXPECT_TRUE(TrySession().has_value());
}

TEST_F(ThreadOffloadTest, EngineMayGoWithJobsInFlight) {
  Make({.threads = 2});
  Prepare(100, Session());
  engine_->Stall(true);
  ASSERT_EQ(queue_->Submit(jobs_), 100u);
  engine_.reset();
  EXPECT_EQ(queue_->Submit(jobs_), 0u);
  std::array<CryptoJob, 8> done;
  queue_->Poll(done);
}

TEST_F(ThreadOffloadTest, QueueMayGoWithJobsInFlight) {
  Make({});
  CryptoSession* session = Session();
  Prepare(100, session);
  engine_->Stall(true);
  ASSERT_EQ(queue_->Submit(jobs_), 100u);
  queue_.reset();
  EXPECT_EQ(engine_->stats().in_flight, 0u);
  engine_->Stall(false);
  queue_ = engine_->CreateQueue(0);  // and its successor works
  ASSERT_EQ(queue_->Submit(std::span(jobs_).first(4)), 4u);
  EXPECT_EQ(Collect(4).size(), 4u);
}

}  // namespace
}  // namespace cygnet
