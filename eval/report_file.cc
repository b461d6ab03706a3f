#include "eval/report_file.h"

#include <fstream>

namespace ft::eval {

Result<void> write_report(const std::string& path, std::string_view text) {
  if (path.empty()) return {};
  std::ofstream out(path, std::ios::trunc | std::ios::binary);
  out << text;
  out.close();
  if (!out) return fail(ErrorCode::kNotFound, "{}: cannot be written", path);
  return {};
}

}  // namespace ft::eval
