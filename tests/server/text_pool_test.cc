#include "server/http/text_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <semaphore>
#include <stdexcept>

#include "server/http/text_task.h"

namespace ft::server {
namespace {

TEST(TextPool, SmallJobsNeverWaitForLargeOnes) {
  std::counting_semaphore<> large_may_end{0};
  std::counting_semaphore<> small_ended{0};
  std::atomic<int> large{0};
  {
    TextPool pool(2);
    for (int i = 0; i < 2; ++i)
      pool.run(TextPool::kSmallBytes + 1, [&] {
        ++large;
        large_may_end.acquire();
      });
    for (int i = 0; i < 20; ++i) pool.run(10, [&] { small_ended.release(); });
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(small_ended.try_acquire_for(std::chrono::seconds(10)));
    EXPECT_LE(large, 1);  // one large job at a time
    large_may_end.release(2);
  }
}

TEST(TextPool, OneThreadDoesAll) {
  std::counting_semaphore<> done{0};
  TextPool pool(1);
  pool.run(1 << 30, [&] { done.release(); });
  pool.run(1, [&] { done.release(); });
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(done.try_acquire_for(std::chrono::seconds(10)));
}

TEST(TextTask, ReturnsWhatTheWorkReturnsOrThrows) {
  boost::asio::io_context context;
  const auto good = std::make_shared<TextTask<int>>(context.get_executor());
  const auto bad = std::make_shared<TextTask<int>>(context.get_executor());
  {
    TextPool pool(2);
    good->start(pool, 1, [] { return 7; });
    bad->start(pool, 1, []() -> int { throw std::runtime_error("no"); });
    good->timer().async_wait([](const boost::system::error_code&) {});
    bad->timer().async_wait([](const boost::system::error_code&) {});
    context.run_for(std::chrono::seconds(10));
  }
  ASSERT_TRUE(good->finished());
  EXPECT_EQ(good->take(), 7);
  ASSERT_TRUE(bad->finished());
  EXPECT_THROW(bad->take(), std::runtime_error);
}

TEST(TextTask, AbandonedWorkIsNotBegun) {
  boost::asio::io_context context;
  std::counting_semaphore<> begun{0};
  std::counting_semaphore<> go{0};
  std::atomic<int> ran{0};
  const auto first = std::make_shared<TextTask<int>>(context.get_executor());
  const auto second = std::make_shared<TextTask<int>>(context.get_executor());
  {
    TextPool pool(1);
    first->start(pool, 1, [&] {
      begun.release();
      go.acquire();
      return ++ran;
    });
    second->start(pool, 1, [&] { return ++ran; });
    begun.acquire();
    second->abandon();
    second->timer().async_wait([](const boost::system::error_code&) {});
    go.release();
    context.run_for(std::chrono::seconds(10));
  }
  EXPECT_TRUE(second->finished());
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace ft::server
