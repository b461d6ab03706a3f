// How often each token occurs in a request's prompt and output, for the penalties.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ft::verify {

// Counts of one request, by distinct token. Walking down a path of a token tree is push per token; coming
// back is pop.
class TokenCounts {
 public:
  struct Entry {
    int32_t token = 0;
    int32_t prompt = 0;  // occurrences in the prompt
    int32_t output = 0;  // occurrences in the output, the walked path included
  };

  // Makes room for this many distinct tokens, so that no later push up to it allocates.
  void reserve(int64_t distinct);
  void clear();

  // token >= 0.
  void add_prompt(std::span<const int32_t> tokens);
  void push(int32_t token);
  // Undoes one push of `token`.
  void pop(int32_t token);

  // Every token ever seen, in order of first sight; both counts of an entry may be 0 after pops.
  std::span<const Entry> entries() const { return entries_; }

 private:
  Entry& find_or_add(int32_t token);
  void rehash(size_t slots);

  std::vector<Entry> entries_;
  std::vector<int32_t> slots_;  // open addressing: index into entries_ or -1; size is a power of two
};

}  // namespace ft::verify
