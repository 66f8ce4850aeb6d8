// CHECK for the native tests: prints what failed and where, counts, never stops. End main with `return check_result();`.
#pragma once

#include <cstdio>
#include <sstream>
#include <string>

inline int& check_failures() {
  static int failures = 0;
  return failures;
}

inline bool check_failed(const char* file, int line, const std::string& what) {
  check_failures()++;
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  return false;
}

template <typename A, typename B>
bool check_equal(const char* file, int line, const char* text, const A& actual, const B& expected) {
  if (actual == expected) return true;
  std::ostringstream message;
  message << text << ": got " << actual << ", expected " << expected;
  return check_failed(file, line, message.str());
}

#define CHECK(condition) ((condition) ? true : check_failed(__FILE__, __LINE__, #condition))
#define CHECK_EQ(actual, expected) check_equal(__FILE__, __LINE__, #actual, (actual), (expected))
// A Status that must be ok.
#define CHECK_OK(expression)                                                                            \
  ([&] {                                                                                                \
    const auto check_status = (expression);                                                             \
    return check_status.ok() ? true : check_failed(__FILE__, __LINE__, #expression ": " + check_status.message); \
  }())

inline int check_result() {
  if (check_failures() > 0) std::fprintf(stderr, "%d failed\n", check_failures());
  return check_failures() == 0 ? 0 : 1;
}
