// Whether state that is changed in several steps can still be trusted after an exception.
#pragma once

#include <stdexcept>
#include <type_traits>

namespace ft::scheduler {

class Intact {
 public:
  explicit operator bool() const { return intact_; }

  // While one lives, state is half changed. An exception that leaves its scope before done() is called makes the whole
  // untrusted for good.
  class Change {
   public:
    explicit Change(Intact& intact) : intact_(intact) {}
    ~Change() {
      if (!done_) intact_.intact_ = false;
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    void done() { done_ = true; }

   private:
    Intact& intact_;
    bool done_ = false;
  };

  // Runs `change` as one. Throws std::runtime_error where nothing may be changed any more.
  template <class Function>
  auto change(Function change) {
    if (!intact_) throw std::runtime_error("an earlier failure has left the state half changed");
    Change section(*this);
    if constexpr (std::is_void_v<decltype(change())>) {
      change();
      section.done();
    } else {
      auto result = change();
      section.done();
      return result;
    }
  }

 private:
  bool intact_ = true;
};

}  // namespace ft::scheduler
