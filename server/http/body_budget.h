// A bound on the request bodies that all connections hold together.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace ft::server {

// Counts bytes against a limit. Any thread.
class BodyBudget {
 public:
  explicit BodyBudget(int64_t limit) : limit_(limit) {}

  int64_t limit() const { return limit_; }
  int64_t used() const { return used_.load(std::memory_order_relaxed); }

  // False, and nothing is counted, when the limit would be passed.
  bool take(int64_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit_) return true;
    give_back(bytes);
    return false;
  }
  void give_back(int64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  const int64_t limit_;
  std::atomic<int64_t> used_{0};
};

// The bytes that one body has taken; given back when it goes. The budget must outlive it.
class BodyLease {
 public:
  BodyLease() = default;
  explicit BodyLease(BodyBudget& budget) : budget_(&budget) {}
  ~BodyLease() { release(); }
  BodyLease(BodyLease&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  BodyLease& operator=(BodyLease&& other) noexcept {
    if (this != &other) {
      release();
      budget_ = std::exchange(other.budget_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }

  // False when the budget has no room for `bytes` more.
  bool grow(int64_t bytes) {
    if (budget_ == nullptr || !budget_->take(bytes)) return false;
    bytes_ += bytes;
    return true;
  }
  void release() {
    if (budget_ != nullptr) budget_->give_back(std::exchange(bytes_, 0));
  }

 private:
  BodyBudget* budget_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace ft::server
