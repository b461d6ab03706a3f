// A client's prediction of a reply, followed as the reply grows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ft::draft {

// Says where in the prediction the reply is. A token that differs from the predicted one is taken as left out
// before it where it is predicted a little later, else as put in its place; behind two such tokens in a row
// the place is lost until two tokens of the reply follow each other in the prediction, behind what has been
// there already.
//
// A function of the prediction and the reply alone.
class PredictedText {
 public:
  // Followed from the start of the reply, or behind the first `begins_after` in it (the end of reasoning; -1: none).
  explicit PredictedText(std::vector<int32_t> tokens, int32_t begins_after = -1);

  // One more token of the reply.
  void advance(int32_t token);

  std::span<const int32_t> tokens() const { return tokens_; }
  // What is predicted to follow: empty where the place is not known, and behind the end.
  std::span<const int32_t> next() const {
    return lost_ || waits_ ? std::span<const int32_t>() : std::span(tokens_).subspan(at_);
  }
  // Tokens of the prediction that are in the reply, and that are not.
  int64_t accepted() const { return accepted_; }
  int64_t rejected() const { return static_cast<int64_t>(tokens_.size()) - accepted_; }

 private:
  static constexpr size_t kNear = 8;      // tokens that may have been left out
  static constexpr size_t kReach = 4096;  // tokens behind the last place among which a lost one is looked for

  bool find_near(int32_t token);
  void find_again(int32_t token);

  std::vector<int32_t> tokens_;
  int32_t begins_after_;
  bool waits_;
  size_t at_ = 0;     // of the token that is predicted next
  size_t floor_ = 0;  // behind the last one that was in the reply
  bool differed_ = false;
  bool lost_ = false;
  int32_t before_ = -1;  // the reply's last token
  int64_t accepted_ = 0;
};

}  // namespace ft::draft
