# The rooms of cpp/cogwork, each one library, and their tests.

# cogwork_room(<name> [SOURCES <file>...] [USES <room>...] [LINKS <third-party target>...])
#
# The library cogwork_<name>, from the sources of the calling folder, which are listed by name. It is linked to the rooms in USES
# only, so a call into any other room does not link. Without sources it is header-only.
function(cogwork_room name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;USES;LINKS")
  list(TRANSFORM arg_USES PREPEND cogwork_)
  if(arg_SOURCES)
    add_library(cogwork_${name} STATIC ${arg_SOURCES})
    target_include_directories(cogwork_${name} PUBLIC "${PROJECT_SOURCE_DIR}/cpp")
    target_link_libraries(cogwork_${name} PUBLIC ${arg_USES} ${arg_LINKS} PRIVATE cogwork_warnings)
  else()
    add_library(cogwork_${name} INTERFACE)
    target_include_directories(cogwork_${name} INTERFACE "${PROJECT_SOURCE_DIR}/cpp")
    target_link_libraries(cogwork_${name} INTERFACE ${arg_USES} ${arg_LINKS})
  endif()
endfunction()

# cogwork_room_tests(<name> [SOURCES <file>...] [USES <room or test_support>...] [LINKS <third-party target>...])
#
# The executable cogwork_<name>_tests, linked to its room; every TEST in it becomes a ctest, labelled with the room.
function(cogwork_room_tests name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;USES;LINKS")
  if(NOT arg_SOURCES)
    return()
  endif()
  list(TRANSFORM arg_USES PREPEND cogwork_)
  set(target cogwork_${name}_tests)
  add_executable(${target} ${arg_SOURCES})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests/cpp")
  target_link_libraries(${target} PRIVATE
    cogwork_${name} ${arg_USES} ${arg_LINKS} cogwork_warnings GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${target} TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT 300 LABELS ${name})
endfunction()
