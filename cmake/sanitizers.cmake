# Sanitizers are for the whole build or not at all, hence global options. A finding ends the program: a report that scrolls by
# in a green run helps nobody.
#
# Of UBSan, what costs much and finds little is left out: a null pointer ends the program without it, too; x86 reads what is not aligned;
# its look at an object's type needs a descriptor, and some tests have none.
if(COGWORK_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=null,alignment,object-size,vptr)
  add_compile_options(-fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(COGWORK_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)   # Asio has atomic_thread_fence, which TSan does not model; it is not ours to change
  endif()
elseif(COGWORK_SANITIZE)
  message(FATAL_ERROR "COGWORK_SANITIZE is '${COGWORK_SANITIZE}'; it may be address, thread, or empty")
endif()
if(COGWORK_BUILD_FUZZERS)
  add_compile_options(-fsanitize=fuzzer-no-link)   # libFuzzer sees which branches an input takes; it has a main of its own
endif()
