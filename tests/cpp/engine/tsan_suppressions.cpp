// What ThreadSanitizer cannot see: the count of an exception that goes from one thread to another is kept inside libstdc++, which
// is not instrumented, so its last release looks like a race with whoever read the message before.
#ifdef __SANITIZE_THREAD__
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_suppressions();  // NOLINT: the sanitizer's name
extern "C" const char* __tsan_default_suppressions() {                                        // NOLINT
  return "race:std::__exception_ptr::exception_ptr::_M_release\n"
         "race:std::runtime_error::~runtime_error\n";
}
#endif
