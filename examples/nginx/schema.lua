-- The tables of the API.
table("articles", function(t)
  t.id     = bigint { identity = true, pk = true }
  t.slug   = varchar(80) { unique = true }
  t.title  = varchar(200)
  t.body   = text { null = true }
  t.status = varchar(10) { default = "draft", check = "status in ('draft', 'published')" }
end)
