// Ranks that are threads of one process.
#pragma once

#include <barrier>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/ranks/comm.h"

namespace ft::test {

class ThreadGroup {
 public:
  explicit ThreadGroup(int size) : meeting_(size), places_(static_cast<size_t>(size)) {
    for (int rank = 0; rank < size; ++rank) comms_.push_back(std::make_unique<ThreadComm>(*this, rank));
  }

  // Calls body with the place of each rank, all at the same time; returns when all have.
  void run(const std::function<void(const RankGroup&)>& body) {
    const int size = static_cast<int>(comms_.size());
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&body, rank, size, comm = comms_[static_cast<size_t>(rank)].get()] {
        body(RankGroup{rank, size, size > 1 ? comm : nullptr});
      });
    }
  }

 private:
  class ThreadComm final : public Comm {
   public:
    ThreadComm(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(group_.comms_.size()); }
    void all_gather(const void* own, void* all, size_t bytes_each) override {
      group_.places_[static_cast<size_t>(rank_)] = own;
      group_.meeting_.arrive_and_wait();
      for (size_t r = 0; r < group_.places_.size(); ++r) {
        std::byte* to = static_cast<std::byte*>(all) + r * bytes_each;
        if (to != group_.places_[r] && bytes_each > 0) std::memcpy(to, group_.places_[r], bytes_each);
      }
      group_.meeting_.arrive_and_wait();
    }
    void broadcast(void* data, size_t bytes) override {
      group_.places_[static_cast<size_t>(rank_)] = data;
      group_.meeting_.arrive_and_wait();
      if (rank_ != 0 && bytes > 0) std::memcpy(data, group_.places_[0], bytes);
      group_.meeting_.arrive_and_wait();
    }

   private:
    ThreadGroup& group_;
    int rank_;
  };

  std::barrier<> meeting_;
  std::vector<const void*> places_;
  std::vector<std::unique_ptr<ThreadComm>> comms_;
};

}  // namespace ft::test
