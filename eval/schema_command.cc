#include "eval/schema_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <ostream>
#include <string_view>
#include <vector>

#include "encoding/ordered_json.h"
#include "encoding/text_tokens.h"
#include "encoding/tokenizer.h"
#include "verify/grammar/grammar_state.h"
#include "verify/grammar/schema_compiler.h"

namespace ft::eval {
namespace {

using encoding::Json;
using Clock = std::chrono::steady_clock;

constexpr int kBadInput = 2;
constexpr std::string_view kEndOfSentence = "<｜end▁of▁sentence｜>";

double microseconds(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

// Smallest value that at least the share `q` of the values reaches; 0 for none. Orders the values.
double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  const auto rank = static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<size_t>(rank)];
}

Json rounded(double value) {
  return Json(static_cast<double>(static_cast<int64_t>(value * 10 + 0.5)) / 10);
}

// What all cases together came to.
struct Totals {
  int64_t schemas = 0;
  int64_t compiled = 0;
  int64_t passed = 0;  // compiled, and every test came out as it says it is
  int64_t invalid_accepted = 0;
  int64_t valid_refused = 0;  // by a compiled grammar
  std::vector<double> compile_us;
  std::vector<double> mask_us;
  std::map<std::string, int64_t> refused;  // by keyword
};

class SchemaRun {
 public:
  explicit SchemaRun(const encoding::Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    std::vector<int32_t> ends;
    if (const auto end = tokenizer.id_of(kEndOfSentence)) ends.push_back(*end);
    vocabulary_ = std::make_shared<const grammar::Vocabulary>(
        encoding::text_tokens(tokenizer, tokenizer.vocab_size()), ends,
        [&tokenizer](std::string_view bytes) { return tokenizer.settled(bytes); });
    mask_.resize(vocabulary_->mask_words());
  }

  Json run(const Json& value) {
    const std::string schema = value.get("schema").dump();
    const auto begin = Clock::now();
    const auto grammar = grammar::compile_schema(schema);
    const double compile_us = microseconds(begin);
    ++totals_.schemas;
    totals_.compile_us.push_back(compile_us);
    Json error;
    if (grammar) {
      ++totals_.compiled;
    } else {
      const grammar::SchemaError& why = grammar.error();
      ++totals_.refused[why.keyword.empty() ? "(whole)" : why.keyword];
      error =
          Json::Object{{"keyword", why.keyword}, {"message", fmt::format("{}: {}", why.path, why.message)}};
    }
    std::vector<double> mask_us;
    Json tests = Json::array();
    bool passed = grammar.has_value();
    // Choices and requests would begin with this state each; its masks are kept from one test to the next.
    std::optional<grammar::GrammarState> start;
    if (grammar) start.emplace(*grammar, vocabulary_);
    if (value.get("tests").is_array())
      for (const Json& test : value.get("tests").as_array()) {
        const bool accepted = start && walk(*start, test.get("data").dump(), mask_us);
        const bool valid = test.get("valid").truthy();
        passed = passed && accepted == valid;
        totals_.invalid_accepted += accepted && !valid;
        totals_.valid_refused += grammar && !accepted && valid;
        tests.push_back(Json::Object{{"accepted", accepted}});
      }
    totals_.passed += passed;
    totals_.mask_us.insert(totals_.mask_us.end(), mask_us.begin(), mask_us.end());
    return Json::Object{{"id", value.get("id")},
                        {"compiled", grammar.has_value()},
                        {"error", std::move(error)},
                        {"compile_us", rounded(compile_us)},
                        {"masks", static_cast<int64_t>(mask_us.size())},
                        {"mask_us", Json::Object{{"p50", rounded(quantile(mask_us, 0.5))},
                                                 {"p99", rounded(quantile(mask_us, 0.99))},
                                                 {"max", rounded(quantile(mask_us, 1))}}},
                        {"tests", std::move(tests)}};
  }

  void summarise(std::ostream& out) {
    out << fmt::format(
        "{} schemas: {} compiled, {} with every test right; invalid instances accepted {}, valid ones "
        "refused {}\n"
        "compile us: p50 {:.0f}, p99 {:.0f}, max {:.0f}; {} masks of {} tokens, us: p50 {:.1f}, p99 {:.1f}, "
        "max "
        "{:.1f}\n",
        totals_.schemas, totals_.compiled, totals_.passed, totals_.invalid_accepted, totals_.valid_refused,
        quantile(totals_.compile_us, 0.5), quantile(totals_.compile_us, 0.99),
        quantile(totals_.compile_us, 1), totals_.mask_us.size(), vocabulary_->size(),
        quantile(totals_.mask_us, 0.5), quantile(totals_.mask_us, 0.99), quantile(totals_.mask_us, 1));
    for (const auto& [keyword, count] : totals_.refused)
      out << fmt::format("refused for {}: {}\n", keyword, count);
  }

 private:
  bool walk(grammar::GrammarState state, const std::string& text, std::vector<double>& mask_us) {
    const encoding::ByteRange whole{0, text.size()};
    std::vector<encoding::TokenId> tokens = tokenizer_.encode(text, {&whole, 1});
    tokens.insert(tokens.end(), vocabulary_->end_tokens().begin(), vocabulary_->end_tokens().end());
    for (const encoding::TokenId token : tokens) {
      const auto begin = Clock::now();
      state.fill_mask(mask_);
      mask_us.push_back(microseconds(begin));
      if ((mask_[static_cast<size_t>(token) / 32] >> token % 32 & 1) == 0) return false;
      auto next = state.after(token);
      if (!next) return false;
      state = std::move(*next);
    }
    return state.ended() || state.complete();
  }

  const encoding::Tokenizer& tokenizer_;
  std::shared_ptr<const grammar::Vocabulary> vocabulary_;
  std::vector<uint32_t> mask_;
  Totals totals_;
};

}  // namespace

int run_schema(const std::string& tokenizer_path, const std::string& cases_path, const std::string& out_path,
               std::ostream& out, std::ostream& err) {
  const auto tokenizer = encoding::load_tokenizer(tokenizer_path);
  if (!tokenizer) {
    err << tokenizer.error().message << "\n";
    return kBadInput;
  }
  std::ifstream cases(cases_path, std::ios::binary);
  std::ofstream results(out_path, std::ios::binary);
  if (!cases || !results) {
    err << (cases ? out_path + ": cannot be written\n" : cases_path + ": cannot be read\n");
    return kBadInput;
  }
  SchemaRun run(**tokenizer);
  std::string line;
  for (int number = 1; std::getline(cases, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto value = Json::parse(line);
    if (!value || !value->contains("id") || !value->contains("schema")) {
      err << cases_path << ":" << number << ": "
          << (value ? "a case has an `id` and a `schema`" : value.error().message) << "\n";
      return kBadInput;
    }
    results << run.run(*value).dump() << "\n";
  }
  if (!results.flush()) {
    err << out_path << ": cannot be written\n";
    return kBadInput;
  }
  run.summarise(out);
  return 0;
}

}  // namespace ft::eval
