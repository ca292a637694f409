# The project's own build words.

# chi_library(NAME [LIBS...]): a library of every .c file of the current folder; static, but shared with BUILD_SHARED_LIBS
# (tests/mutants).  Small files call each other on the way of each packet: a release inlines across them, where the compiler can.
# The objects can also be linked without it, as tests are.
function(chi_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(NOT sources)
    add_library(chi_${name} INTERFACE)
    return()
  endif()
  add_library(chi_${name} ${sources})
  set_target_properties(chi_${name} PROPERTIES INTERPROCEDURAL_OPTIMIZATION_RELEASE ${CHI_IPO})
  target_compile_options(chi_${name} PRIVATE $<$<AND:$<C_COMPILER_ID:GNU>,$<CONFIG:Release>>:-ffat-lto-objects>)
  target_include_directories(chi_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/dataplane ${PROJECT_SOURCE_DIR})
  target_link_libraries(chi_${name} PUBLIC ${ARGN})
endfunction()

# chi_chimod_at(TARGET SOURCES NAME FOLDER [LIBS...]): a module FOLDER/NAME.so.
function(chi_chimod_at target sources name folder)
  add_library(${target} MODULE ${sources})
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${folder})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/dataplane ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PRIVATE ${ARGN})
endfunction()

# chi_chimod(NAME [LIBS...]): a module of every .c file of the current folder, as lib/chimods/NAME.so.
function(chi_chimod name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  chi_chimod_at(chimod_${name} "${sources}" ${name} ${CMAKE_BINARY_DIR}/lib/chimods ${ARGN})
endfunction()

# chi_test(NAME LABEL SOURCE [LIBS...]): a cmocka program, run by ctest with that label.
function(chi_test name label source)
  add_executable(${name} ${source})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARGN} chi_test_support PkgConfig::CMOCKA)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 120)
endfunction()
