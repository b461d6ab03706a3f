// foretoken-eval schema: which instances the grammars of JSON Schemas accept, and what that costs.
#pragma once

#include <iosfwd>
#include <string>

namespace ft::eval {

// Case {"id", "schema", "tests": [{"valid", "data"}]}. Each test's data is written as JSON with ", " and ":
// ", members in the order given, tokenized as a client's text, and walked through the masks of the schema's
// grammar; it is accepted where every token is allowed and the end token behind them. A line out per case:
// {"id", "compiled", "error": {"keyword", "message"} or null, "compile_us", "masks", "mask_us": {"p50",
// "p99", "max"}, "tests":
// [{"accepted"}]}. Without a grammar no test is accepted. A summary over all cases goes to `out`. Returns 0,
// or 2 after a message on `err` that names what cannot be read or written.
int run_schema(const std::string& tokenizer_path, const std::string& cases_path, const std::string& out_path,
               std::ostream& out, std::ostream& err);

}  // namespace ft::eval
