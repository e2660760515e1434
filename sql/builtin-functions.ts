/**
 * The built-in functions of PostgreSQL 13 to 18 that a statement may call, by name and number of arguments, and those that are refused
 * with a reason of their own. What stands in neither list is refused too: a new server version's functions wait here until judged.
 *
 * Notation: `name/1,2` takes one or two arguments, `name/1+` one or more. Ordered-set aggregates count their direct and their
 * WITHIN GROUP arguments together. A test compares every entry with pg_proc of a live server.
 */

/** Groups of allowed functions. Each computes from its arguments, the clock, randomness or the session's own settings, and nothing else. */
export const ALLOWED_FUNCTIONS: Readonly<Record<string, string>> = {
  mathematics: `abs/1 acos/1 acosd/1 acosh/1 asin/1 asind/1 asinh/1 atan/1 atan2/2 atan2d/2 atand/1 atanh/1 cbrt/1 ceil/1
    ceiling/1 cos/1 cosd/1 cosh/1 cot/1 cotd/1 dcbrt/1 degrees/1 dexp/1 div/2 dlog1/1 dlog10/1 dpow/2 dround/1 dsqrt/1 dtrunc/1
    erf/1 erfc/1 exp/1 factorial/1 floor/1 gamma/1 gcd/2 lcm/2 lgamma/1 ln/1 log/1,2 log10/1 min_scale/1 mod/2 pi/0 pow/2 power/2
    radians/1 round/1,2 scale/1 sign/1 sin/1 sind/1 sinh/1 sqrt/1 tan/1 tand/1 tanh/1 trim_scale/1 trunc/1,2 width_bucket/2,4
    to_bin/1 to_hex/1 to_oct/1 cash_words/1 bit_count/1 numeric_inc/1 int4inc/1 int8inc/1`,
  // random() and its seed belong to the session; setseed is left out, since together with random() it is a side memory.
  randomness: 'random/0,2 random_normal/0,1,2 gen_random_uuid/0 uuidv4/0 uuidv7/0,1 array_sample/2 array_shuffle/1',
  text: `anytextcat/2 ascii/1 bit_length/1 bpchar/1,3 bpcharlike/2 bpcharnlike/2 btrim/1,2 bttextcmp/2 casefold/1 char/1 char_length/1
    character_length/1 chr/1 concat/1+ concat_ws/2+ convert/3 convert_from/2 convert_to/2 crc32/1 crc32c/1 decode/2 encode/2
    format/1+ get_bit/2 get_byte/2 initcap/1 is_normalized/1,2 left/2 length/1,2 like/2 like_escape/2 lower/1 lpad/2,3
    ltrim/1,2 md5/1 name/1 normalize/1,2 notlike/2 octet_length/1 overlay/3,4 parse_ident/1,2 position/2 quote_ident/1
    quote_literal/1 quote_nullable/1 regexp_count/2,3,4 regexp_instr/2,3,4,5,6,7 regexp_like/2,3 regexp_match/2,3
    regexp_matches/2,3 regexp_replace/3,4,5,6 regexp_split_to_array/2,3 regexp_split_to_table/2,3
    regexp_substr/2,3,4,5,6 repeat/2 replace/3 reverse/1 right/2 rpad/2,3 rtrim/1,2 set_bit/3 set_byte/3 sha224/1 sha256/1
    sha384/1 sha512/1 similar_escape/2 similar_to_escape/1,2 split_part/3 starts_with/2 string_to_array/2,3
    string_to_table/2,3 strpos/2 substr/2,3 substring/2,3 text/1 textanycat/2 textcat/2 texteq/2 texticlike/2 texticnlike/2
    textlen/1 textlike/2 textne/2 textnlike/2 textregexeq/2 textregexne/2 texticregexeq/2 texticregexne/2 to_ascii/1,2
    translate/3 unicode_assigned/1 unistr/1 varchar/1,3 bytea/1 byteacat/2 text_lt/2 text_le/2 text_gt/2 text_ge/2`,
  binary: `textsend/1 uuid_send/1 int2send/1 int4send/1 int8send/1 float4send/1 float8send/1 numeric_send/1 byteasend/1 boolsend/1
    bpcharsend/1 varcharsend/1 date_send/1 time_send/1 timetz_send/1 timestamp_send/1 timestamptz_send/1 interval_send/1
    inet_send/1 cidr_send/1 macaddr_send/1 json_send/1 jsonb_send/1`,
  hashing: `hash_array/1 hash_array_extended/2 hash_numeric/1 hash_numeric_extended/2 hash_range/1 hash_record/1
    hash_record_extended/2 hashbool/1 hashboolextended/2 hashbpchar/1 hashbpcharextended/2 hashbytea/1 hashbyteaextended/2 hashchar/1
    hashdate/1 hashdateextended/2 hashenum/1 hashfloat4/1 hashfloat4extended/2 hashfloat8/1 hashfloat8extended/2 hashinet/1
    hashinetextended/2 hashint2/1 hashint2extended/2 hashint4/1 hashint4extended/2 hashint8/1 hashint8extended/2 hashname/1
    hashoid/1 hashtext/1 hashtextextended/2 interval_hash/1 jsonb_hash/1 jsonb_hash_extended/2 time_hash/1
    timestamp_hash/1 timestamptz_hash/1 timestamptz_hash_extended/2 uuid_hash/1 uuid_hash_extended/2`,
  conversion: `bit/2,3 bool/1 date/1 float4/1 float8/1 int2/1 int4/1 int8/1 interval/1,2 money/1 numeric/1,2 oid/1 pg_lsn/1 time/1,2
    timestamp/1,2 timestamptz/1,2 timetz/1,2 varbit/3 to_char/2 to_date/2 to_number/2 to_timestamp/1,2 pg_typeof/1
    num_nonnulls/1+ num_nulls/1+ pg_collation_for/1 pg_column_size/1 pg_column_compression/1`,
  'date and time': `age/1,2 clock_timestamp/0 date_add/2,3 date_bin/3 date_part/2 date_subtract/2,3 date_trunc/2,3 extract/2
    isfinite/1 justify_days/1 justify_hours/1 justify_interval/1 make_date/3 make_interval/0,1,2,3,4,5,6,7 make_time/3
    make_timestamp/6 make_timestamptz/6,7 now/0 overlaps/4 statement_timestamp/0 timeofday/0 timezone/1,2
    transaction_timestamp/0 uuid_extract_timestamp/1 uuid_extract_version/1 pg_timezone_names/0 pg_timezone_abbrevs/0
    pg_timezone_abbrevs_abbrevs/0 pg_timezone_abbrevs_zone/0 date_mi/2 date_mii/2 date_pli/2 timestamp_mi/2 timestamptz_mi/2
    interval_mi/2 interval_pl/2 interval_mul/2 interval_div/2 timestamptz_pl_interval/2 timestamptz_mi_interval/2
    timestamp_pl_interval/2 timestamp_mi_interval/2 date_pl_interval/2 date_mi_interval/2`,
  arithmetic: `int4pl/2 int4mi/2 int4mul/2 int4div/2 int4mod/2 int8pl/2 int8mi/2 int8mul/2 int8div/2 int8mod/2 int4eq/2 int4ne/2
    int4lt/2 int4le/2 int4gt/2 int4ge/2 int8eq/2 int8ne/2 int8lt/2 int8le/2 int8gt/2 int8ge/2 float8pl/2 float8mi/2
    float8mul/2 float8div/2 numeric_add/2 numeric_sub/2 numeric_mul/2 numeric_div/2 numeric_mod/2 numeric_power/2
    numeric_div_trunc/2 numeric_sqrt/1 numeric_exp/1 numeric_ln/1 numeric_log/2 numeric_abs/1 numeric_uminus/1 booleq/2 boolne/2
    uuid_eq/2 date_eq/2 timestamptz_eq/2`,
  json: `array_to_json/1,2 json_array_elements/1 json_array_elements_text/1 json_array_length/1 json_build_array/0+
    json_build_object/0+ json_each/1 json_each_text/1 json_extract_path/1+ json_extract_path_text/1+ json_object/1,2
    json_object_keys/1 json_populate_record/2,3 json_populate_recordset/2,3 json_strip_nulls/1,2 json_to_record/1
    json_to_recordset/1 json_typeof/1 jsonb_array_elements/1 jsonb_array_elements_text/1 jsonb_array_length/1
    jsonb_build_array/0+ jsonb_build_object/0+ jsonb_concat/2 jsonb_contains/2 jsonb_contained/2 jsonb_delete/2+
    jsonb_delete_path/2 jsonb_each/1 jsonb_each_text/1 jsonb_exists/2 jsonb_exists_all/2 jsonb_exists_any/2
    jsonb_extract_path/1+ jsonb_extract_path_text/1+ jsonb_insert/3,4 jsonb_object/1,2 jsonb_object_keys/1
    jsonb_path_exists/2,3,4 jsonb_path_exists_opr/2 jsonb_path_exists_tz/2,3,4 jsonb_path_match/2,3,4 jsonb_path_match_opr/2
    jsonb_path_match_tz/2,3,4 jsonb_path_query/2,3,4 jsonb_path_query_array/2,3,4 jsonb_path_query_array_tz/2,3,4
    jsonb_path_query_first/2,3,4 jsonb_path_query_first_tz/2,3,4 jsonb_path_query_tz/2,3,4 jsonb_populate_record/2
    jsonb_populate_record_valid/2 jsonb_populate_recordset/2 jsonb_pretty/1 jsonb_set/3,4 jsonb_set_lax/3,4,5
    jsonb_strip_nulls/1,2 jsonb_to_record/1 jsonb_to_recordset/1 jsonb_typeof/1 row_to_json/1,2 to_json/1 to_jsonb/1
    json_array_element/2 json_array_element_text/2 json_object_field/2 json_object_field_text/2 jsonb_array_element/2
    jsonb_array_element_text/2 jsonb_object_field/2 jsonb_object_field_text/2`,
  arrays: `array_append/2 array_cat/2 array_dims/1 array_fill/2,3 array_length/2 array_lower/2 array_ndims/1 array_position/2,3
    array_positions/2 array_prepend/2 array_remove/2 array_replace/3 array_reverse/1 array_sort/1,2,3 array_to_string/2,3
    array_upper/2 arraycontained/2 arraycontains/2 arrayoverlap/2 cardinality/1 generate_subscripts/2,3 trim_array/2 unnest/1+`,
  series: 'generate_series/2,3,4',
  enums: 'enum_first/1 enum_last/1 enum_range/1,2 enum_cmp/2 enum_larger/2 enum_smaller/2',
  'ranges and multiranges': `int4range/2,3 int8range/2,3 numrange/2,3 tsrange/2,3 tstzrange/2,3 daterange/2,3 int4multirange/0+
    int8multirange/0+ nummultirange/0+ tsmultirange/0+ tstzmultirange/0+ datemultirange/0+ multirange/1 isempty/1
    lower_inc/1 lower_inf/1 upper/1 upper_inc/1 upper_inf/1 range_merge/1,2 range_adjacent/2 range_contains/2
    range_contained_by/2 range_contains_elem/2 elem_contained_by_range/2 range_overlaps/2 range_before/2 range_after/2
    range_union/2 range_intersect/2 range_minus/2 multirange_contains_elem/2 multirange_overlaps_range/2`,
  'full-text search': `array_to_tsvector/1 get_current_ts_config/0 json_to_tsvector/2,3 jsonb_to_tsvector/2,3 numnode/1 phraseto_tsquery/1,2
    plainto_tsquery/1,2 querytree/1 setweight/2,3 strip/1 to_tsquery/1,2 to_tsvector/1,2 ts_debug/1,2 ts_delete/2 ts_filter/2
    ts_headline/2,3,4 ts_lexize/2 ts_match_qv/2 ts_match_tq/2 ts_match_tt/2 ts_match_vq/2 ts_parse/2 ts_rank/2,3,4 ts_rank_cd/2,3,4
    ts_rewrite/3 ts_token_type/1 tsquery_and/2 tsquery_not/1 tsquery_or/2 tsquery_phrase/2,3 tsvector_concat/2
    tsvector_to_array/1 websearch_to_tsquery/1,2`,
  geometry: `area/1 bound_box/2 box/1,2 box_center/1 center/1 circle/1,2 diagonal/1 diameter/1 height/1 isclosed/1 ishorizontal/1,2
    isopen/1 isparallel/2 isperp/2 isvertical/1,2 line/2 lseg/1,2 npoints/1 path/1 pclose/1 point/1,2 point_distance/2
    polygon/1,2 popen/1 radius/1 slope/2 width/1 circle_center/1 dist_pb/2 dist_pl/2 dist_ppath/2`,
  'network addresses': `abbrev/1 broadcast/1 cidr/1 family/1 host/1 hostmask/1 inet_merge/2 inet_same_family/2 macaddr/1 macaddr8/1
    macaddr8_set7bit/1 masklen/1 netmask/1 network/1 set_masklen/2 network_cmp/2 network_sub/2 network_subeq/2 network_sup/2
    network_supeq/2 network_overlap/2`,
  xml: `xml/1 xml_is_well_formed/1 xml_is_well_formed_content/1 xml_is_well_formed_document/1 xmlcomment/1 xmlconcat2/2 xmlexists/2
    xmltext/1 xpath/2,3 xpath_exists/2,3`,
  aggregates: `any_value/1 array_agg/1 avg/1 bit_and/1 bit_or/1 bit_xor/1 bool_and/1 bool_or/1 corr/2 count/0,1 covar_pop/2
    covar_samp/2 cume_dist/0+ dense_rank/0+ every/1 json_agg/1 json_agg_strict/1 json_object_agg/2 json_object_agg_strict/2
    json_object_agg_unique/2 json_object_agg_unique_strict/2 jsonb_agg/1 jsonb_agg_strict/1 jsonb_object_agg/2
    jsonb_object_agg_strict/2 jsonb_object_agg_unique/2 jsonb_object_agg_unique_strict/2 max/1 min/1 mode/0,1 percent_rank/0+
    percentile_cont/1,2 percentile_disc/1,2 range_agg/1 range_intersect_agg/1 rank/0+ regr_avgx/2 regr_avgy/2 regr_count/2
    regr_intercept/2 regr_r2/2 regr_slope/2 regr_sxx/2 regr_sxy/2 regr_syy/2 stddev/1 stddev_pop/1 stddev_samp/1 string_agg/2
    sum/1 var_pop/1 var_samp/1 variance/1 xmlagg/1`,
  windows: 'first_value/1 lag/1,2,3 last_value/1 lead/1,2,3 nth_value/2 ntile/1 row_number/0',
  // The session's own names and public facts about the server. Role name and search path are within what the gate set.
  session: `current_catalog/0 current_database/0 current_role/0 current_schema/0 current_schemas/1 current_user/0 session_user/0 user/0
    system_user/0 getpgusername/0 getdatabaseencoding/0 pg_client_encoding/0 pg_char_to_encoding/1 pg_encoding_to_char/1
    pg_encoding_max_length/1 pg_backend_pid/0 pg_is_in_recovery/0 pg_jit_available/0 pg_my_temp_schema/0
    pg_postmaster_start_time/0 pg_trigger_depth/0 version/0 unicode_version/0 icu_unicode_version/0 pg_size_bytes/1
    pg_size_pretty/1`,
  // Static tables of the server's code, and pure readers of values that stand in a visible catalog row.
  catalogs: `pg_get_keywords/0 pg_get_catalog_foreign_keys/0 pg_options_to_table/1 pg_indexam_has_property/2 oidvectortypes/1
    aclexplode/1 array_eq/2 oideq/2 oidne/2 nameeq/2 nameconcatoid/2`,
  // asyncpg releases locks on every return to its pool; the gate never lets one be taken.
  'pool reset': 'pg_advisory_unlock_all/0',
};

/** Reasons for refusal, by pattern of the name; the first that matches is told. They complete `PostgreSQL function NAME is not allowed: `. */
export const REFUSAL_REASONS: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  {
    pattern: /^(query|table|schema|database|cursor)_to_xml/,
    reason: 'it runs SQL that is given as text or names; select the rows and use xmlelement or xmlforest',
  },
  { pattern: /^(ts_stat|dblink|crosstab|connectby|normal_rand)/, reason: 'it runs SQL that is given as text' },
  { pattern: /^ts_rewrite$/, reason: 'with two arguments it runs SQL that is given as text; use the form with three' },
  { pattern: /^(lo_|loread|lowrite)/, reason: 'large objects are outside every policy' },
  { pattern: /^pg_(read_|ls_|stat_file|current_logfile|rotate_logfile|file_)/, reason: 'it reads files of the server' },
  { pattern: /^pg_sleep/, reason: 'it only waits' },
  { pattern: /advisory/, reason: 'advisory locks are a channel between sessions' },
  {
    pattern: /^(pg_notify|pg_listening_channels|pg_notification_queue_usage)$/,
    reason: 'notifications are a channel between sessions',
  },
  { pattern: /^current_query$/, reason: 'it shows the statement as the gate rewrote it' },
  {
    pattern: /^(txid_|pg_(current|xact|visible|snapshot|last_committed|export_snapshot)|mxid_age)/,
    reason: 'transaction ids tell of other sessions',
  },
  {
    pattern: /^pg_(prepared_statement|cursor|show_all|settings)/,
    reason: 'it shows statements or settings of the gate; use SHOW or current_setting',
  },
  { pattern: /^pg_stat/, reason: 'statistics count rows and show work that the policy hides' },
  {
    pattern: /^pg_(relation|table|total_relation|indexes|database|tablespace)_(size|file)/,
    reason: 'sizes tell of rows that the policy hides; use count(*)',
  },
  { pattern: /^pg_(sequence_last_value|get_sequence_data)$/, reason: 'it counts rows that the policy hides' },
  {
    pattern: /^(pg_input_|satisfies_hash|makeaclitem|row_security_active|has_column_priv|has_param)/,
    reason: 'it tells whether hidden objects exist',
  },
  {
    pattern: /^pg_(describe|identify|get_object_address|get_acl|filenode)/,
    reason: 'it names objects by number; read the catalog relations instead',
  },
  { pattern: /^(setval|setseed)$/, reason: 'it changes state that outlives the statement' },
  { pattern: /^inet_(server|client)_/, reason: 'it shows addresses behind the gate' },
  {
    pattern:
      /^(pg_(cancel|terminate|reload|promote|switch|create|drop|copy|replication|logical|wal|backup|start|stop|import|clear|restore|log)|binary_upgrade|brin_|gin_clean)/,
    reason: 'it administers the server',
  },
];
